"""What several tests of faults start from."""

from __future__ import annotations

import pytest
from support.needs import missing
from support.server import SERVERS

from asrq_jobs import Client, PathAudio, keys
from asrq_worker.queue.execution import Execution


@pytest.fixture
def held(client: Client) -> Execution:
    """A job that a slot has dequeued, begun, and left alone."""
    client.submit(PathAudio(path="/audio/a.wav"), id="job")
    client.redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    execution = Execution("job", "first", "batch", "host.fake.batch.1")
    assert execution.begin(client.redis, lease_s=3).verdict == "started"
    return execution


def _found(kind: str) -> str:
    path = SERVERS[kind]()
    if path is None:
        missing(f"a {kind} server")
    return path


@pytest.fixture(params=SERVERS)
def binary(request: pytest.FixtureRequest) -> str:
    """Path of a server; both kinds in turn."""
    return _found(request.param)


@pytest.fixture
def binaries() -> list[str]:
    """Paths of both, for what only waits and may be done to both at once."""
    return [_found(kind) for kind in SERVERS]
