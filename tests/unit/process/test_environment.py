"""What children get of the environment."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from asrq_worker.audio.decode_process import DecodeProcess
from asrq_worker.backends.base import BackendConfig
from asrq_worker.engine.engine import Engine
from asrq_worker.process.environment import TO_COMPUTE, TO_REACH_OTHERS, handed_on

NEEDED = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LC_TIME": "C",
    "TMPDIR": "/scratch",
    "PYTHONPATH": "lib",
    "SystemRoot": r"C:\Windows",
    "LD_LIBRARY_PATH": "/opt/cuda",
}
COMPUTING = {
    "CUDA_VISIBLE_DEVICES": "1",
    "OMP_WAIT_POLICY": "passive",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "HF_HOME": "/models",
    "TOKENIZERS_PARALLELISM": "0",
}
REACHING = {"https_proxy": "http://user:pass@proxy", "SSL_CERT_FILE": "/ca.pem", "HF_TOKEN": "hf_x"}
SECRETS = {
    "ASRQ_REDIS_URL": "redis://:secret@queue",
    "ASRQ_SERVER_API_KEY": "secret",
    "ASRQ_WEBHOOK_SECRET": "secret",
    "REDISCLI_AUTH": "secret",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "secret",
    "GITHUB_TOKEN": "secret",
    "SENTRY_DSN": "secret",
    "PGPASSWORD": "secret",
    "PYTHON_KEYRING_PASSWORD": "secret",
    "CUDA_LICENSE_KEY": "secret",
    "HF_OTHER_TOKEN": "secret",
    "SSH_AUTH_SOCK": "/agent",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/bus",
    "WHATEVER": "secret",
}
EVERYTHING = NEEDED | COMPUTING | REACHING | SECRETS


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ((), NEEDED),
        (TO_COMPUTE, NEEDED | COMPUTING),
        ((*TO_COMPUTE, *TO_REACH_OTHERS), NEEDED | COMPUTING | REACHING),
    ],
)
def test_each_gets_what_it_needs(patterns: tuple[str, ...], expected: dict[str, str]) -> None:
    assert handed_on(*patterns, environment=EVERYTHING) == expected


def test_no_pattern_gives_a_setting_away() -> None:
    names = {f"ASRQ_{name}" for name in ("REDIS_URL", "MODEL_DIR", "LOG_LEVEL")}
    assert handed_on(*TO_COMPUTE, *TO_REACH_OTHERS, environment=dict.fromkeys(names, "")) == {}


THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


@pytest.mark.skipif(sys.platform != "linux", reason="only there a test can look into a process's environment")
def test_those_that_compute_have_one_setting_for_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine of the one-shot runner, of a worker or of a bridge: whatever this process was given."""
    for number, name in enumerate(THREADS):
        monkeypatch.setenv(name, str(5 + number))
    engine, decoder = Engine("fake", BackendConfig("m", tmp_path, cpu_threads=2)), DecodeProcess(lambda _process: None)
    engine.start()
    try:
        engine.wait_ready(30)
        computing, decoding = psutil.Process(engine.pid).environ(), psutil.Process(decoder.pid).environ()
    finally:
        engine.close()
        decoder.kill()
    assert {computing[name] for name in THREADS} == {"2"}
    assert {decoding[name] for name in THREADS} == {"1"}
