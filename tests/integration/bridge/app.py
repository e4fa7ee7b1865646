"""An application as the bridge sees it: starts it, writes lines, reads lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

PROGRAM = Path(sys.executable).with_name("asrq")

Line = dict[str, Any]


def environment(**settings: object) -> dict[str, str]:
    """The environment of a program whose settings are these alone."""
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("ASRQ_")}
    chosen = {"fallback": "none", "decoders": 1, "lanes": "interactive:4,batch:2", "retry_delay_s": 0.1} | settings
    return inherited | {f"ASRQ_{name.upper()}": str(value) for name, value in chosen.items()}


class App:
    """An `asrq bridge` process and the lines that came from it."""

    def __init__(
        self, folder: Path, *options: str, backend: str = "fake", model: str = "m", before: list[str] | None = None,
        **settings: object,
    ) -> None:  # fmt: skip
        """`before` is put before the command: a program that starts it."""
        self.lines: list[Line] = []
        self.ended = False
        self._news = threading.Condition()
        self._log = folder / "bridge.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*(before or []), PROGRAM, "bridge", "--backend", backend, "--model", model, *options],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=folder, env=environment(**settings),
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            line = json.loads(raw)  # anything else on standard output is a defect, and ends the test
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self.ended = True
            self._news.notify_all()

    @property
    def log(self) -> str:
        """What it wrote to standard error so far."""
        return self._log.read_text(encoding="utf-8")

    def send(self, message: Line) -> None:
        """Write a message."""
        self.send_text(json.dumps(message))

    def send_text(self, text: str | bytes) -> None:
        """Write a line as it stands."""
        assert self.process.stdin is not None
        self.process.stdin.write((text.encode() if isinstance(text, str) else text) + b"\n")
        self.process.stdin.flush()

    def transcribe(self, job_id: str, path: Path | str, **fields: object) -> None:
        """Ask for a transcript of a file."""
        audio = {"kind": "path", "path": str(path)}
        document = {"schema": "asrq.request/1", "id": job_id, "lane": "interactive", "audio": audio, **fields}
        self.send({"op": "transcribe", "request": document})

    def wait_for(self, wanted: Callable[[Line], bool], seconds: float = 60, *, after: int = 0) -> Line:
        """Wait for a line; `after` leaves out as many of those that have come."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for line in self.lines[after:]:
                    if wanted(line):
                        return line
                left = deadline - time.monotonic()
                assert left > 0, f"it did not come; {self.lines}\n{self.log}"
                assert not self.ended, f"it ended; {self.lines}\n{self.log}"
                self._news.wait(left)

    def op(self, name: str, **fields: object) -> Line:
        """Wait for a line of this kind with these fields."""
        return self.wait_for(lambda line: line["op"] == name and fields.items() <= line.items())

    def result(self, job_id: str) -> Line:
        """Wait for the result of a job."""
        found: Line = self.op("result", id=job_id)["result"]
        return found

    def events(self, job_id: str) -> list[str]:
        """The types of a job's events so far."""
        return [line["event"]["type"] for line in self.lines if line["op"] == "event" and line["id"] == job_id]

    def started(self, job_id: str) -> None:
        """Wait until a job runs."""
        self.wait_for(lambda line: line.get("id") == job_id and line.get("event", {}).get("type") == "started")

    def children(self) -> list[psutil.Process]:
        """Everything below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> None:
        """Close its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait_ended(self, seconds: float = 5) -> int:
        """Wait until it has ended by itself and all its lines are read; returns the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def kill(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            below = self.children()
            self.process.kill()
            self.process.wait(60)
            psutil.wait_procs(below, timeout=60)


def all_gone(processes: list[psutil.Process], seconds: float = 60) -> bool:
    """Whether all of them end within the time."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive
