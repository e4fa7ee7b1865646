"""A job that submit.lua stores is, field by field, one that RQ 3 itself would store, without what is empty."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from asrq_jobs import Client, keys, scripts
from asrq_jobs.request import BlobAudio, Request
from asrq_jobs.scripts import ScriptName
from asrq_jobs.settings import Settings

RQ_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
TIMES = {b"created_at", b"enqueued_at"}
ENCODED = {b"data", b"meta"}


@pytest.fixture
def redis(server_url: str) -> Iterator[Redis]:
    with Redis.from_url(server_url) as connection:
        yield connection


@pytest.fixture
def ours(redis: Redis, server_url: str) -> Request:
    """A request that has been submitted as job `ours`."""
    client = Client(Settings(redis_url=server_url), redis=redis)
    audio: BlobAudio = client.upload(b"stands for audio", name="Речь.wav")
    request = Request.build(id="ours", audio=audio, lane="batch", language="ru", timeout_s=90)
    client.submit_request(request)
    return request


def decoded(value: bytes) -> Any:
    """What RQ's serializer would read: JSON, compressed or not."""
    with suppress(zlib.error):  # RQ accepts both
        value = zlib.decompress(value)
    return json.loads(value)


def test_stored_like_a_job_of_rq(redis: Redis, ours: Request) -> None:
    queue = Queue("asrq-batch", connection=redis, serializer=JSONSerializer)
    stored = redis.hgetall(keys.job("ours"))
    theirs = queue.enqueue(
        keys.FUNCTION,
        json.loads(ours.to_json()),
        job_timeout=90,
        description="transcribe Речь.wav (ru)",
        meta=decoded(stored[b"meta"]),
    )
    expected = redis.hgetall(f"rq:job:{theirs.id}")

    assert stored.keys() == {name for name, value in expected.items() if value}
    for name in stored.keys() - TIMES - ENCODED:
        assert stored[name] == expected[name], name
    for name in ENCODED:
        assert decoded(stored[name]) == decoded(expected[name]), name
    for name in TIMES:
        assert RQ_TIME.fullmatch(stored[name]), name
        assert RQ_TIME.fullmatch(expected[name]), name
    assert redis.smembers("rq:queues") == {b"rq:queue:asrq-batch"}
    assert redis.lrange("rq:queue:asrq-batch", 0, -1) == [b"ours", theirs.id.encode()]


def test_rq_reads_it(redis: Redis, ours: Request) -> None:
    job = Job.fetch("ours", connection=redis, serializer=JSONSerializer)
    assert job.func_name == keys.FUNCTION
    assert job.args == [json.loads(ours.to_json())]
    assert job.kwargs == {}
    assert job.get_status() is JobStatus.QUEUED
    assert (job.origin, job.timeout, job.started_at, job.ended_at) == ("asrq-batch", 90, None, None)
    assert job.description == "transcribe Речь.wav (ru)"
    assert job.created_at == job.enqueued_at
    assert abs(datetime.now(UTC) - job.created_at) < timedelta(seconds=60)
    queue = Queue("asrq-batch", connection=redis, serializer=JSONSerializer)
    assert queue.get_job_ids() == ["ours"]
    assert [queue.name for queue in Queue.all(connection=redis)] == ["asrq-batch"]


def test_rq_saves_it_unchanged(redis: Redis, ours: Request) -> None:
    """RQ writes a job back now and then (requeue in its dashboard): nothing of ours gets lost."""
    before = redis.hgetall(keys.job("ours"))
    Job.fetch("ours", connection=redis, serializer=JSONSerializer).save()
    after = redis.hgetall(keys.job("ours"))
    assert {name: value for name, value in after.items() if value and name not in ENCODED} == {
        name: before[name] for name in before.keys() - ENCODED
    }
    for name in ENCODED:
        assert decoded(after[name]) == decoded(before[name]), name


@pytest.mark.parametrize(
    "moment", ["1970-01-01", "1999-12-31", "2000-02-29", "2024-02-29", "2026-03-01", "2100-03-01", "2400-02-29"]
)
@pytest.mark.parametrize("script", ["submit", "retry", "begin"])
def test_dates_of_the_scripts(redis: Redis, moment: str, script: ScriptName) -> None:
    """The calendar, run by the server over days that calendars get wrong."""
    source = scripts.source(script)
    functions = source[: source.index("\nend\n", source.index("iso_time(seconds"))] + "\nend"
    then = datetime.fromisoformat(moment).replace(hour=23, minute=59, second=58, tzinfo=UTC)
    got = redis.eval(f"{functions}\nreturn iso_time(tonumber(ARGV[1]), 7)", 0, int(then.timestamp()))
    assert got == f"{moment}T23:59:58.000007Z".encode()
