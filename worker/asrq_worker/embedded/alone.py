"""That an embedded server is alone with its folder and its port."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import psutil

from asrq_jobs.errors import InUseError
from asrq_worker.process.locking import Hold

_STOP_S = 8.0
_LETS_GO_S = 2.0
_POLL_S = 0.05
_SERVERS = {"valkey-server", "redis-server"}
_held: list[Hold] = []  # that live as long as this process


def keep_others_out(data: Path) -> None:
    """Hold the folder, making it if need be, as long as this process lives.

    Raises:
        InUseError: another asrq holds it.
        OSError: it cannot be used.
    """
    data.mkdir(parents=True, exist_ok=True)
    try:
        hold = Hold(data)
    except BlockingIOError:
        raise InUseError(
            f"Another asrq uses the folder {data}.", hint="Name another with --data, or stop the other one."
        ) from None
    _held.append(hold)


def end_orphan(data: Path, binary: Path) -> None:
    """End a server whose keeper was killed, where the system did not: two must not write the same files.

    Raises:
        InUseError: a server that is none of ours writes them, or ours does not end.
    """
    folder, ours = str(data.resolve()), str(binary.resolve())
    for process in psutil.process_iter(["name", "cwd", "exe"]):
        if process.info["cwd"] != folder or process.info["name"] not in _SERVERS:
            continue
        if (process.info["exe"] or "").removesuffix(" (deleted)") != ours or not _killed(process):
            raise InUseError(
                f"Another server (process {process.pid}, {process.info['name']}) keeps its data in {data}.",
                hint="Stop it, or name another folder with --data.",
            )


def _killed(process: psutil.Process) -> bool:
    give_up_at = time.monotonic() + _STOP_S
    try:
        process.kill()
        while process.status() != psutil.STATUS_ZOMBIE:  # which a container may keep for good
            if time.monotonic() > give_up_at:
                return False
            time.sleep(_POLL_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
    return True


def taken(port: int) -> bool:
    """Whether something listens there and goes on doing so: a server that was killed takes a moment to let go."""
    give_up_at = time.monotonic() + _LETS_GO_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return False
        if time.monotonic() > give_up_at:
            return True
        time.sleep(_POLL_S)
