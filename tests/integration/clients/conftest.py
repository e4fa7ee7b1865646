"""The example clients as programs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from support.needs import missing

from asrq_jobs.testing import ScriptedWorker

REPO = Path(__file__).resolve().parents[3]
CLIENTS = REPO / "docs" / "how-to" / "clients"


@pytest.fixture(scope="session")
def cargo() -> str:
    """The program that builds the Rust client."""
    return shutil.which("cargo") or missing("cargo")


@pytest.fixture(scope="session")
def cargo_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it builds, once for all tests."""
    return tmp_path_factory.mktemp("target")


@pytest.fixture(scope="session")
def _rust(cargo: str, cargo_target: Path) -> list[str]:
    build = [cargo, "build", "--quiet", "--locked", "--offline", "--target-dir", str(cargo_target)]
    subprocess.run(build, cwd=CLIENTS / "rust", check=True)
    return [str(cargo_target / "debug" / "asrq-client")]


@pytest.fixture(scope="session")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the Node client with its packages installed, and the scripts where it looks for them."""
    npm = shutil.which("npm") or missing("npm")
    root = tmp_path_factory.mktemp("node")
    for folder in (CLIENTS / "node", REPO / "jobs" / "asrq_jobs" / "lua"):
        ignore = shutil.ignore_patterns("node_modules")
        shutil.copytree(folder, root / folder.relative_to(REPO), ignore=ignore)
    client = root / (CLIENTS / "node").relative_to(REPO)
    install = [npm, "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    if subprocess.run(install, cwd=client, check=False, timeout=120).returncode:
        missing("the packages of the Node client (npm ci)")
    return client


@pytest.fixture(scope="session")
def _node(node_client: Path) -> list[str]:
    return [shutil.which("node") or missing("node"), str(node_client / "main.mjs")]


@pytest.fixture(scope="session")
def _python() -> list[str]:
    return [sys.executable, str(CLIENTS / "python" / "main.py")]


@pytest.fixture(params=["_rust", "_node", "_python"], ids=["rust", "node", "python"])
def program(request: pytest.FixtureRequest) -> list[str]:
    """Command that starts an example client, each in turn."""
    command: list[str] = request.getfixturevalue(request.param)
    return command


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Bytes that stand for audio, where no model looks at them."""
    path = tmp_path / "Речь 1.ogg"
    path.write_bytes(b"stands for audio")
    return path


@pytest.fixture
def scripted(redis: Redis) -> ScriptedWorker:
    """A worker that does as it is told."""
    return ScriptedWorker(redis)


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(program: list[str], valkey_url: str) -> Iterator[Start]:
    """Start the example client with arguments; it talks to the test's Valkey and is gone after the test."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        command = [*program, *map(str, arguments)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(command, text=True, encoding="utf-8", **pipes)
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()
