"""The two servers that the protocol must work with: Valkey and Redis."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from support.needs import missing


@pytest.fixture(scope="session")
def _redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        missing("redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--save", ""]
    with subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            log = ""
            for line in server.stdout:
                log += line
                if "Ready to accept connections" in line:
                    break
            else:
                pytest.fail(f"redis-server did not start:\n{log}", pytrace=False)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.communicate()


@pytest.fixture(params=["valkey", "redis"])
def server_url(request: pytest.FixtureRequest) -> str:
    """Address of an empty server, each kind in turn."""
    url: str = request.getfixturevalue("valkey_url" if request.param == "valkey" else "_redis_server")
    with Redis.from_url(url) as redis:
        redis.flushall()
    return url


@pytest.fixture(scope="session")
def sent(pytestconfig: pytest.Config) -> Callable[[str, bytes], bytes]:
    """What to send for a script of this name and text: the text, but for `--lua-coverage`."""
    lua = pytestconfig.pluginmanager.get_plugin("lua_coverage")
    return lua.marked if lua else lambda _, source: source


@pytest.fixture(scope="session")
def repo() -> Path:
    """Root of the repository."""
    return Path(__file__).resolve().parents[3]
