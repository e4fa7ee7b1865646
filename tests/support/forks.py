"""Runs of `asrq` that begin in a fork of a process which has imported it: importing takes longer than most commands do.

Each run is a process of its own, with its own streams, environment, folder and exit code. What differs from a fresh
process is what Python reads when it starts; a run that changes any of that is to be a fresh one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import IO

from asrq_jobs.cli.commands import COMMANDS

_READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_")


class Forks:
    """The process that forks; it starts with the first run."""

    def __init__(self) -> None:
        self._at_start = _read_at_start()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def suits(self, arguments: Sequence[str]) -> bool:
        """Whether this may be run so: a command of the client's, with nothing changed that Python reads first."""
        entry = COMMANDS.get(arguments[0]) if arguments else None
        client = entry is not None and entry.target.startswith("asrq_jobs.")
        return client and hasattr(os, "fork") and _read_at_start() == self._at_start

    def run(self, arguments: Sequence[str], *, stdin: bytes, timeout: float) -> subprocess.CompletedProcess[bytes]:
        """Run to its end, in the present folder and environment."""
        request = {"arguments": list(arguments), "env": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109  # a str
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            asked.write(json.dumps(request).encode("utf-8", "surrogateescape"))
            asked.seek(0)
            given, giving = os.pipe()
            told, telling = os.pipe()
            with self._lock:
                socket.send_fds(self._started(), [b"."], [asked.fileno(), given, out.fileno(), err.fileno(), telling])
            os.close(given)
            os.close(telling)
            writer = threading.Thread(target=_write, args=(giving, stdin), daemon=True)
            writer.start()
            with os.fdopen(told, encoding="ascii") as answers:
                pid = int(answers.readline())
                late = threading.Event()

                def kill() -> None:
                    late.set()
                    os.kill(pid, signal.SIGKILL)

                patience = threading.Timer(timeout, kill)
                patience.start()
                code = int(answers.readline())
                patience.cancel()
            if late.is_set():
                raise subprocess.TimeoutExpired(list(arguments), timeout)
            return subprocess.CompletedProcess(["asrq", *arguments], code, _all(out), _all(err))

    def close(self) -> None:
        """End the process that forks."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait(60)

    def _started(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen([sys.executable, __file__], stdin=theirs)
        return self._socket


def _read_at_start() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_READ_AT_START)}


def _write(descriptor: int, content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:
        pipe.write(content)


def _all(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _serve() -> int:
    """Fork for each request, until nobody can send any more."""
    import importlib

    for entry in COMMANDS.values():
        if entry.target.startswith("asrq_jobs."):
            importlib.import_module(entry.target.partition(":")[0])
    for heavy in ("asrq_jobs.client", "asrq_jobs.connection", "rich.console", "rich.table"):
        importlib.import_module(heavy)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    asked = socket.socket(fileno=0)
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, 1, 5)
        if not message:
            return 0
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asked.detach()
            return _keep(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _keep(asked: int, stdin: int, stdout: int, stderr: int, telling: int) -> int:
    """Tell the id and the exit code of the process that runs the command."""
    if (pid := os.fork()) == 0:
        os.close(telling)
        return _command(asked, stdin, stdout, stderr)
    for descriptor in (asked, stdin, stdout, stderr):
        os.close(descriptor)
    os.write(telling, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(telling, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _command(asked: int, stdin: int, stdout: int, stderr: int) -> int:
    from asrq_jobs.cli import main

    with os.fdopen(asked, "rb") as file:
        request = json.loads(file.read())
    for number, descriptor in enumerate((stdin, stdout, stderr)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["folder"])
    sys.argv = ["asrq", *request["arguments"]]
    with (
        open(0, encoding="utf-8", errors="surrogateescape", closefd=False) as sys.stdin,
        open(1, "w", encoding="utf-8", closefd=False) as sys.stdout,
        open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False) as sys.stderr,
    ):
        return main()


if __name__ == "__main__":
    sys.exit(_serve())
