"""What is said of jobs whose hash has expired."""

from __future__ import annotations

import pytest
from redis import Redis

from asrq_jobs import Client, keys
from asrq_jobs.errors import JobNotFoundError
from asrq_jobs.request import PathAudio


def test_a_job_that_has_expired_is_no_longer_listed(client: Client, redis: Redis) -> None:
    redis.rpush(keys.queue("batch"), "gone")
    client.submit(PathAudio(path="/audio/a.wav"), id="there")
    assert [state.id for state in client.jobs()] == ["there"]
    with pytest.raises(JobNotFoundError):
        client.state("gone")


def test_a_result_outlives_its_job(client: Client, redis: Redis) -> None:
    client.submit(PathAudio(path="/audio/a.wav"), id="job")
    client.cancel("job")
    redis.delete(keys.job("job"))
    state = client.state("job")
    assert (state.status, state.error and state.error.code) == ("canceled", "canceled")
