"""What several tests of faults start from."""

from __future__ import annotations

import pytest

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
