"""What children have in their environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.backends.base import BackendConfig
from asrq_worker.engine.engine import Engine

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


@pytest.mark.skipif(sys.platform != "linux", reason="only there a test can look into a process's environment")
def test_those_that_compute_have_one_setting_for_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine of the one-shot runner, of a worker or of a bridge: whatever this process was given."""
    for number, name in enumerate(THREADS):
        monkeypatch.setenv(name, str(5 + number))
    engine = Engine("fake", BackendConfig("m", tmp_path, cpu_threads=2))
    decoders = DecoderPool(1, memory_mb=4096, stall_s=20, max_s=3600)
    try:
        engine.start()
        decoders.start()
        engine.wait_ready(30)
        computing, decoding = (psutil.Process(pid).environ() for pid in (engine.pid, *decoders.pids))
    finally:
        engine.close()
        decoders.close()
    assert {computing[name] for name in THREADS} == {"2"}
    assert {decoding[name] for name in THREADS} == {"1"}
    assert computing["OPENBLAS_THREAD_TIMEOUT"] == "4"


def test_who_transcribes_without_a_queue_imports_no_client_of_redis() -> None:
    """That takes a fifth of the time in which the program begins."""
    program = "import asrq_worker.cli.transcribe, asrq_worker.programs.one_shot, sys; print('redis' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "False\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only there a test can count the threads of a process so")
def test_a_command_starts_no_threads_to_compute_with() -> None:
    """It would be one for each core, in each worker and for each `asrq transcribe`."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    program = "import asrq_worker.cli.worker, numpy, os; print(len(os.listdir('/proc/self/task')))"
    run = [sys.executable, "-c", program]
    told = subprocess.run(run, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "1\n"
