"""The example clients as programs, and a worker that does as a test tells it."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from asrq_jobs import keys
from asrq_jobs.errors import AsrqError
from asrq_jobs.events import Event
from asrq_jobs.request import PathAudio
from asrq_jobs.result import Result
from asrq_worker.execution import Execution

CLIENTS = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "clients"


@pytest.fixture(scope="session")
def _rust(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not here")
    target = tmp_path_factory.mktemp("target")
    build = [cargo, "build", "--quiet", "--locked", "--offline", "--target-dir", str(target)]
    subprocess.run(build, cwd=CLIENTS / "rust", check=True)
    return [str(target / "debug" / "asrq-client")]


@pytest.fixture(scope="session")
def _node() -> list[str]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here")
    return [node, str(CLIENTS / "node" / "main.mjs")]


@pytest.fixture(params=["_rust", "_node"], ids=["rust", "node"])
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


class ScriptedWorker:
    """Begins jobs and ends them through the same scripts as a real worker, when a test says so."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._took = threading.Event()

    def take(self, lane: str = "interactive", *, within_s: float = 10.0) -> Execution:
        """Wait for a job and begin it."""
        raw = self._redis.blmove(keys.queue(lane), keys.intermediate(lane), within_s, "LEFT", "RIGHT")
        assert raw is not None, "no job came"
        execution = Execution(raw.decode(), uuid.uuid4().hex, lane, "scripted")
        self._begun = execution.begin(self._redis, lease_s=60)
        assert self._begun.verdict == "started"
        return execution

    def event(self, execution: Execution, event: Event) -> None:
        """Tell something of a job."""
        self._redis.xadd(keys.events(execution.job_id), {"event": event.to_json()})

    def complete(self, execution: Execution, text: str) -> None:
        """End a job well."""
        result = Result(id=execution.job_id, status="completed", text=text)
        self._end(execution, Event(type="completed", at=time.time()), result)

    def fail(self, execution: Execution, error: AsrqError) -> None:
        """End a job badly."""
        result = Result(id=execution.job_id, status="failed", error=error.info())
        self._end(execution, Event(type="failed", at=time.time(), error=error.info()), result)

    def _end(self, execution: Execution, event: Event, result: Result) -> None:
        attempt = self._begun.attempts[-1]
        verdict = result.status
        assert execution.end(
            self._redis,
            verdict,
            audio=PathAudio(path="/scripted"),
            blob_ttl_s=60,
            event=event,
            attempt=attempt,
            result=result,
            ttl_s=60,
        )


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
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()
