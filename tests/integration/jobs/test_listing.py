"""What is said of jobs whose hash has expired."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Asrq
from redis import Redis

from asrq_jobs import Client, calls, keys, steps
from asrq_jobs.errors import JobNotFoundError
from asrq_jobs.request import LANES, PathAudio
from asrq_jobs.states import Status
from asrq_jobs.steps import Done


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
    step, asked = steps.advance(call), []
    while not isinstance(step, Done):
        asked.append(step)
        step = steps.advance(call, next(answers))
    searches = [step for step in asked if isinstance(step, tuple) and step[0] == "LPOS"]
    assert [step[-2:] for step in searches] == [("MAXLEN", 1000)] * 4
    assert (step.value.position, step.value.at_least) == (1001, True)


def pages(client: Client, *, most: int, **options: Any) -> list[str]:
    """All jobs of a listing, a page at a time."""
    found: list[str] = []
    while page := client.jobs(most=most, after=found[-1] if found else None, **options):
        assert len(page) <= most
        found += [state.id for state in page]
    return found


def waits(redis: Redis, job_id: str, list_key: str) -> None:
    redis.hset(keys.job(job_id), mapping={"status": "queued", "origin": "asrq-batch"})
    redis.sadd(keys.RQ_QUEUES, list_key)
    redis.rpush(list_key, job_id)


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_what_waits_is_listed_page_by_page_wherever_it_waits(client: Client, redis: Redis, most: int) -> None:
    ids = [client.submit(PathAudio(path="/audio/a.wav"), id=f"job{number}").id for number in range(3)]
    for need in ("qwen", "other"):
        for number in range(2):
            waits(redis, f"{need}{number}", keys.waiting("batch", need))
    for number in range(2):
        redis.hset(keys.job(f"later{number}"), mapping={"status": "scheduled", "origin": "asrq-batch"})
        redis.zadd(keys.registry("scheduled", "batch"), {f"later{number}": number})
    client.submit(PathAudio(path="/audio/a.wav"), id="dictation", lane="interactive")
    expected = [*ids, "other0", "other1", "qwen0", "qwen1", "later0", "later1"]
    assert pages(client, status="queued", lane="batch", most=most) == expected
    assert [state.id for state in client.jobs("queued", most=1)] == ["dictation", "job0"]


@pytest.mark.parametrize("status", ["completed", "failed", "canceled"])
def test_what_has_ended_is_listed_page_by_page_the_newest_first(client: Client, redis: Redis, status: Status) -> None:
    kind = "finished" if status == "completed" else status
    for number in range(5):
        redis.hset(keys.job(f"job{number}"), mapping={"status": kind, "origin": "asrq-batch"})
        redis.zadd(keys.registry(kind, "batch"), {f"job{number}": 1e9})
    assert pages(client, status=status, most=2) == [f"job{number}" for number in reversed(range(5))]


def test_what_runs_is_listed_page_by_page(client: Client, redis: Redis) -> None:
    for number in range(3):
        redis.hset(keys.job(f"job{number}"), mapping={"status": "started", "origin": "asrq-interactive"})
        redis.zadd(keys.registry("wip", "interactive"), {f"job{number}:execution": number})
    assert pages(client, status="processing", most=2) == ["job2", "job1", "job0"]


def test_the_state_and_lane_of_a_page_are_those_of_the_job_that_it_follows(client: Client) -> None:
    for lane in LANES:
        for number in range(2):
            client.submit(PathAudio(path="/audio/a.wav"), id=f"{lane}{number}", lane=lane)
    assert [state.id for state in client.jobs(after="interactive0")] == ["interactive1"]
    assert [state.id for state in client.jobs(after="batch0")] == ["batch1"]
    with pytest.raises(JobNotFoundError):
        client.jobs(after="nobody")


def test_after_the_head_that_was_taken_comes_what_is_left(client: Client, redis: Redis) -> None:
    for number in range(4):
        client.submit(PathAudio(path="/audio/a.wav"), id=f"job{number}")
    redis.lpop(keys.queue("batch"), 2)
    assert [state.id for state in client.jobs("queued", lane="batch", after="job1")] == ["job2", "job3"]


def test_the_command_line_goes_on_after_a_job(client: Client, asrq: Asrq) -> None:
    for number in range(3):
        client.submit(PathAudio(path="/audio/a.wav"), id=f"job{number}")
    listed = asrq("list", "--after", "job0", "--most", "1").stdout
    assert listed.split("\t")[0] == "job1"
    assert asrq("list", "--lane", "interactive").stdout == ""
