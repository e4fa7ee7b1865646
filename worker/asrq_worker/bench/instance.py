"""A whole asrq on this machine with one model, started as users start it (`asrq up`), and watched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from asrq_jobs.client import Client
from asrq_jobs.errors import AsrqError, ErrorInfo, WaitTimeoutError, WorkerLostError, from_info
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.bench.target import Target

_PROGRAM = "import sys; from asrq_jobs.cli import main; sys.exit(main())"
_ENGINE = "asrq_worker.engine.child"
_SAMPLE_S = 0.1
_LOOK_S = 2.0
_STOP_S = 30.0
_OUTAGE_S = 5.0  # of a queue on this machine: longer than that means that it has ended


class _Memory:
    """Samples the resident memory of a process and the engine below it, and keeps the peak of their sum.

    Pages that both share count twice; decoder processes and the Valkey are left out.
    """

    def __init__(self, pid: int) -> None:
        self._worker = psutil.Process(pid)
        self._engines: list[psutil.Process] = []
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="bench-memory", daemon=True)
        self._thread.start()

    @property
    def peak_mb(self) -> int:
        """The peak so far, MiB, this moment included."""
        self._sample()
        return self._peak >> 20

    def close(self) -> None:
        """Stop sampling."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        try:
            if not any(engine.is_running() for engine in self._engines):
                self._engines = [child for child in self._worker.children() if _ENGINE in child.cmdline()]
            used = sum(process.memory_info().rss for process in (self._worker, *self._engines))
        except psutil.Error:  # one of them has just ended
            return
        self._peak = max(self._peak, used)


class Instance:
    """A running asrq; `cold_start_s` is from the start of its process to taking jobs, `client` talks to its queue."""

    def __init__(self, process: subprocess.Popen[str], client: Client, cold_start_s: float, log: Path) -> None:
        self.client = client
        self.cold_start_s = cold_start_s
        self.memory = _Memory(process.pid)
        self._process = process
        self._log = log

    def wait(self, job_id: str) -> Result:
        """Wait for a job, however long it takes.

        Raises:
            WorkerLostError: asrq has ended.
            QueueError: its queue does not answer.
        """
        while True:
            try:
                return self.client.wait(job_id, timeout_s=_LOOK_S)
            except WaitTimeoutError:
                continue
            except AsrqError:
                if self._process.poll() is None:
                    raise
            if self._process.poll() is not None:
                raise WorkerLostError("The worker has ended in the middle of the benchmark.", hint=f"See {self._log}.")


@contextmanager
def serving(target: Target, settings: Settings, *, log: Path) -> Iterator[Instance]:
    """Run asrq with a target until the block ends; what it says goes to the file `log`.

    It goes by the settings of the environment, except that nothing stands in for the backend, no lane is full and no
    result serves another job.

    Raises:
        AsrqError: it does not start.
    """
    env = {**os.environ, "ASRQ_FALLBACK": "none", "ASRQ_LANE_DEPTH": "1000000", "ASRQ_GRACE_S": "0"}
    env["ASRQ_CACHE_TTL_S"] = "0"  # every clip is heard twice: alone, and among all
    env.setdefault("ASRQ_LOG_LEVEL", "warning")
    command = [
        "up",
        "--port",
        "0",
        "--exit-with-parent",
        "--json",
        "--backend",
        target.backend,
        "--model",
        target.model,
    ]
    with log.open("a", encoding="utf-8") as errors:
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-c", _PROGRAM, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=env,
            text=True,
        )
    try:
        url = _ready(process, target, log)
        cold_start_s = time.monotonic() - began
        with Client(settings.model_copy(update={"redis_url": url, "redis_retry_s": _OUTAGE_S})) as client:
            instance = Instance(process, client, cold_start_s, log)
            try:
                yield instance
            finally:
                instance.memory.close()
    finally:
        _stop(process)


def _ready(process: subprocess.Popen[str], target: Target, log: Path) -> str:
    assert process.stdout is not None  # noqa: S101  # we asked for a pipe
    line = process.stdout.readline()
    try:
        answer = json.loads(line)
    except ValueError:
        raise WorkerLostError(f"The worker with {target} did not start.", hint=f"See {log}.") from None
    if "error" in answer:
        raise from_info(ErrorInfo.model_validate(answer["error"]))
    return str(answer["redis_url"])


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
