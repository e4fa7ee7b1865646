"""What is said of jobs whose hash has expired."""

from __future__ import annotations

import pytest
from redis import Redis

from asrq_jobs import Client, calls, keys
from asrq_jobs.calls import Done
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


@pytest.mark.parametrize(("lane", "waits_for"), [("rq:queue:asrq-batch", None), ("rq:queue:asrq-batch@qwen", "qwen")])
def test_a_place_is_exact_near_both_ends_and_at_least_so_and_so_in_the_middle(
    client: Client, redis: Redis, lane: str, waits_for: str | None
) -> None:
    client.submit(PathAudio(path="/audio/a.wav"), id="job")
    redis.delete(keys.queue("batch"))
    if waits_for:
        redis.hset(keys.job("job"), "waits_for", waits_for)
    for before, behind, position, at_least in (
        (0, 0, 1, False), (999, 4000, 1000, False), (4000, 999, 4001, False),
        (1000, 1000, 1001, True), (3000, 1500, 1001, True),
    ):  # fmt: skip
        redis.delete(lane)
        redis.rpush(lane, *["other"] * before, "job", *["other"] * behind)
        state = client.state("job")
        assert (state.position, state.at_least, state.waits_for) == (position, at_least, waits_for)
    redis.lrem(lane, 0, "job")
    redis.ltrim(lane, 0, 1999)
    assert client.state("job").position is None, "a worker is just taking it"


def test_a_look_at_a_job_takes_no_longer_however_many_wait() -> None:
    raw = {b"status": b"queued", b"origin": b"asrq-batch", b"waits_for": b"qwen"}
    answers = iter([raw, None, None, None, None, None, 100_000, 0])
    call = calls.state("job")
    step, asked = calls.advance(call), []
    while not isinstance(step, Done):
        asked.append(step)
        step = calls.advance(call, next(answers))
    searches = [step for step in asked if isinstance(step, tuple) and step[0] == "LPOS"]
    assert [step[-2:] for step in searches] == [("MAXLEN", 1000)] * 4
    assert (step.value.position, step.value.at_least) == (1001, True)
