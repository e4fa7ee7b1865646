"""What real children have in their environment: nothing that is secret, whatever the parent has."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
from support.processes import Process

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only there a test can look into a process's environment"
)

SECRET = "s3cret-w0rd"  # noqa: S105  # for the test to look for
SECRETS = {
    "ASRQ_REDIS_URL": f"redis://:{SECRET}@queue",
    "ASRQ_SERVER_API_KEY": SECRET,
    "ASRQ_WEBHOOK_SECRET": SECRET,
    "ASRQ_DASHBOARD_PASSWORD": SECRET,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "HF_TOKEN": SECRET,
    "DATABASE_URL": f"postgres://me:{SECRET}@db",
    "https_proxy": f"http://me:{SECRET}@proxy",
}
KINDS = ("asrq_worker.audio.decode_child", "asrq_worker.engine.child", "asrq_worker.embedded.server", "valkey-server")


def test_no_child_inherits_a_secret(tmp_path: Path) -> None:
    env = {**SECRETS, "ASRQ_DECODERS": "1", "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    running = Process("up", "--port", "0", "--backend", "fake", "--model", "m", env=env)
    try:
        running.wait_for("worker.ready")
        children = {kind: _child(running, kind) for kind in KINDS}
        for kind, child in children.items():
            environment = Path(f"/proc/{child.pid}/environ").read_bytes().decode()
            assert SECRET not in environment, kind
            assert "ASRQ_" not in environment, kind
            if kind != "valkey-server":  # which writes its title over it
                assert f"TMPDIR={tmp_path}" in environment, kind
                assert "PATH=" in environment, kind
        engine = Path(f"/proc/{children['asrq_worker.engine.child'].pid}/environ").read_bytes()
        assert b"CUDA_VISIBLE_DEVICES=" in engine
        assert running.end() == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(60)


def _child(running: Process, kind: str) -> psutil.Process:
    found = [child for child in running.children() if kind in " ".join(child.cmdline())]
    assert found, kind
    return found[-1]
