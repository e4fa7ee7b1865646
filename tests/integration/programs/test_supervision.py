"""A thread that ends takes the process with it, in good order and with an exit code that a supervisor understands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from conftest import free_port
from integration.monitor.asking import failing
from support.processes import Process, all_gone
from support.relay import Relay
from support.waiting import until

from asrq_jobs import Client, keys

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these signals")

BREAKING = """
import importlib, os, sys

module, owner, method = sys.argv[1:4]
owner = getattr(importlib.import_module(module), owner)
whole = getattr(owner, method)

def broken(*arguments, **named):
    if os.path.exists(os.environ["BROKEN"]):
        raise SystemExit("broken")
    return whole(*arguments, **named)

setattr(owner, method, broken)
from asrq_jobs.cli import main
sys.argv[:] = ["asrq", *sys.argv[4:]]
sys.exit(main())
"""
WORKER = ("worker", "--backend", "fake", "--model", "m")
BREAKS = {
    "scheduler": ("asrq_worker.engine.scheduler", "Scheduler", "_fail_if_down", *WORKER),
    "engine-watchdog": ("asrq_worker.engine.engine", "Engine", "_act", *WORKER),
    "decoders-watchdog": ("asrq_worker.audio.decoder", "DecoderPool", "_act", *WORKER),
    "leases": ("asrq_worker.queue.leases", "LeaseKeeper", "keep", *WORKER),
    "policy": ("asrq_worker.engine.fleet", "Fleet", "retire", *WORKER),
    "commands": ("asrq_worker.queue.commands", "CommandListener", "_handle", *WORKER),
    ".batch.1": ("asrq_worker.queue.slot", "Slot", "_take", *WORKER),
    "monitor": ("asrq_worker.monitor.server", "_Server", "service_actions", *WORKER),
    "reaper": ("asrq_worker.reaper.reaper", "Reaper", "run_once", "reaper"),
    "courier": ("asrq_worker.reaper.courier", "calls", "claim_webhook", "reaper"),
}


class Breaking(Process):
    """An `asrq` process one of whose functions ends its thread as soon as the file `broken` is there."""

    def __init__(self, *arguments: str, env: dict[str, str]) -> None:
        super().__init__("-c", BREAKING, *arguments, env=env, program=sys.executable)


@contextmanager
def _running(url: str, broken: Path, *arguments: str, **env: str) -> Iterator[Breaking]:
    settings = {"ASRQ_REDIS_URL": url, "ASRQ_DECODERS": "1", "ASRQ_LANES": "batch:1", "BROKEN": str(broken)}
    running = Breaking(*arguments, env=settings | env)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(60)


@pytest.mark.parametrize("thread", BREAKS)
def test_the_process_ends_with_a_code_and_a_sentence(
    client: Client, valkey_url: str, data: Path, tmp_path: Path, thread: str
) -> None:
    broken, gate, port = tmp_path / "broken", tmp_path / "gate", free_port()
    env = {"ASRQ_WEBHOOK_SECRET": "secret", "ASRQ_METRICS_PORT": str(port)}
    with _running(valkey_url, broken, *BREAKS[thread], **env) as running:
        if "worker" in BREAKS[thread]:
            running.wait_for("worker.ready")
            job = client.submit_file(data / "hello-en.flac", prompt=f"until:{gate}")
            until(lambda: client.state(job.id).status == "processing")
        else:
            running.wait_for("monitor.listening")
        until(lambda: failing(port, "/healthz") == [])
        children = running.children()
        broken.touch()
        client.command("load", "fake")
        if thread == "decoders-watchdog":
            client.submit_file(data / "hello-ru.flac")  # so that there is something to decode
        if thread in {"scheduler", ".batch.1", "decoders-watchdog"}:
            gate.touch()
        assert running.ended(60) == 1
    ended = {str(line["thread"]) for line in running.lines if line["event"] == "thread.ended"}
    assert ended
    assert all(name.endswith(thread) for name in ended), "there are several couriers, and all of them are broken"
    said = "\n".join(str(line["event"]) for line in running.lines)
    assert "[internal]" in said
    assert "Have a supervisor start it again" in said
    assert all_gone(children)
    if "worker" in BREAKS[thread]:
        state = client.state(job.id)
        assert state.status in {"queued", "completed"}  # never failed, and no attempt is counted
        assert client.redis.zcard(keys.LEASES) == 0


def test_one_shot_ends_too(tmp_path: Path, data: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    command = ("transcribe", "--backend", "fake", "--model", "m", "--json", str(data / "hello-en.flac"))
    done = subprocess.run(
        [sys.executable, "-c", BREAKING, "asrq_worker.engine.pending", "PendingChunks", "begin", *command],
        env={**os.environ, "BROKEN": str(broken)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert '"code":"internal"' in done.stdout.replace(" ", "")
    assert "scheduler" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("redis_is", ["silent", "refusing", "half open"])
@pytest.mark.parametrize("command", [WORKER, ("reaper",), ("dashboard", "--port", "0")], ids=lambda each: each[0])
def test_who_has_nothing_to_do_ends_at_once_whatever_redis_does(
    valkey_url: str, tmp_path: Path, command: tuple[str, ...], redis_is: str
) -> None:
    env = {"ASRQ_DECODERS": "1", "ASRQ_REDIS_TIMEOUT_S": "60", "ASRQ_WEBHOOK_SECRET": "secret"}
    with Relay(valkey_url) as relay:
        running = Process(*command, env={**env, "ASRQ_REDIS_URL": relay.url})
        try:
            before = relay.accepted
            running.wait_for("worker.ready") if command is WORKER else until(lambda: relay.accepted > before)
            everyone = [psutil.Process(running.process.pid), *running.children()]
            if redis_is == "refusing":
                relay.down()
            else:
                relay.say_nothing(also_to_those_that_come=redis_is == "silent")
            assert running.end(signal.SIGTERM, seconds=30) in {0, -signal.SIGTERM}  # the calls would take a minute each
            assert all_gone(everyone)
        finally:
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait(60)
