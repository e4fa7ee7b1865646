"""Real worker processes for tests that end them in every way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PROGRAM = Path(sys.executable).with_name("asrq")


class Process:
    """An `asrq` process and its log."""

    def __init__(self, *arguments: str, env: dict[str, str], program: str | Path = PROGRAM) -> None:
        self.lines: list[dict[str, object]] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [program, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "ASRQ_LOG_FORMAT": "json", **env},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for raw in self.process.stderr:
            try:
                line = json.loads(raw)
            except ValueError:
                line = {"event": raw.decode(errors="replace").strip()}
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, event: str, seconds: float = 150) -> dict[str, object]:
        """Wait for a log line."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for line in self.lines:
                    if line["event"] == event:
                        return line
                left = deadline - time.monotonic()
                assert left > 0, f"no {event} in {self.lines}"
                assert self._reader.is_alive() or self.process.poll() is None, f"it ended: {self.lines}"
                self._news.wait(min(left, 0.5))

    def children(self) -> list[psutil.Process]:
        """Everything below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, module: str) -> psutil.Process:
        """The one child that runs a module."""
        (found,) = [child for child in self.children() if module in " ".join(child.cmdline())]
        return found

    def ended(self, seconds: float) -> int:
        """Wait until it has ended by itself and its log is read; returns the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 120) -> int:
        """Send a signal and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def worker(url: str, *, backend: str = "fake", model: str = "m", **settings: object) -> Iterator[Process]:
    """Run `asrq worker` until the block ends, ready to take jobs."""
    env = {"ASRQ_REDIS_URL": url, "ASRQ_DECODERS": "1"} | {
        f"ASRQ_{name.upper()}": str(value) for name, value in settings.items()
    }
    with ended(Process("worker", "--backend", backend, "--model", model, env=env)) as running:
        running.wait_for("worker.ready")
        yield running


@contextmanager
def ended(running: Process) -> Iterator[Process]:
    """End a program with the block, and print what it said where the block fails."""
    try:
        yield running
    except BaseException:
        print(*running.lines, sep="\n")  # pytest shows it with the failure
        raise
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(60)


def all_gone(processes: list[psutil.Process], seconds: float = 60) -> bool:
    """Whether all of them end within the time."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive
