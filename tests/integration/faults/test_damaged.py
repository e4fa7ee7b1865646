"""Keys of the wrong type: a job ends because of its own, never because of shared ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from redis import Redis
from redis.exceptions import ResponseError
from support.host import serving, takes_all, transcribed
from support.ledger import leftovers

from asrq_jobs import Client, keys
from asrq_jobs.errors import QueueUnusableError
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.job.attempt import Task
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.queue.execution import Execution
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.queue.slot import Slot
from asrq_worker.reaper.reaper import Reaper

AUDIO = PathAudio(path="/audio/a.wav")
SHARED = [keys.STATS, keys.WEBHOOKS, *(keys.registry(kind, "batch") for kind in ("wip", "finished", "failed"))]


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=valkey_url, lease_s=3, webhook_secret="s")  # noqa: S106  # of this test


def code_of(client: Client, job_id: str) -> str | None:
    result = client.wait(job_id, timeout_s=120)
    return result.error.code if result.error else None


def damage(redis: Redis, *names: str) -> None:
    for name in names:
        redis.delete(name)
        redis.set(name, "damaged")


def test_a_history_that_cannot_be_read_ends_a_job_that_waits(client: Client, redis: Redis, settings: Settings) -> None:
    for job_id, limits in (("job", {}), ("hurried", {"queue_ttl_s": 60})):
        client.submit(AUDIO, id=job_id, **limits)
        redis.rpush(keys.attempts(job_id), "{")
    with serving(redis, settings, lambda request, control, journal: transcribed(request)) as host:
        assert [code_of(client, job_id) for job_id in ("job", "hurried")] == ["malformed_job"] * 2
    assert host.scripted.runs == []
    assert not redis.exists(keys.LEASES, keys.intermediate("batch"), keys.registry("wip", "batch"))


def test_a_history_that_cannot_be_read_ends_a_job_that_runs_or_is_late(
    client: Client, redis: Redis, settings: Settings
) -> None:
    client.submit(AUDIO, id="runs")
    redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    execution = Execution("runs", "first", "batch", "host.fake.batch.1")
    assert execution.begin(redis, lease_s=3).verdict == "started"
    redis.zadd(keys.LEASES, {execution.lease: 1.0})
    client.submit(AUDIO, id="late", queue_ttl_s=1)
    redis.hset(keys.job("late"), "enqueued_at", "2020-01-01T00:00:00.000000Z")
    for job_id in ("runs", "late"):
        redis.rpush(keys.attempts(job_id), "{")
    assert Reaper(redis, settings).run_once(whole=True).refused == ("runs",)
    assert [code_of(client, job_id) for job_id in ("runs", "late")] == ["malformed_job"] * 2
    assert not redis.exists(keys.LEASES, keys.queue("batch"))


@pytest.mark.parametrize("key", [keys.events, keys.attempts, keys.rq_executions])
def test_a_key_of_another_type_ends_its_job_alone(
    client: Client, redis: Redis, settings: Settings, key: Callable[[str], str]
) -> None:
    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        if request.id == "runs":
            damage(redis, key("runs"))
        return transcribed(request)

    for job_id in ("waits", "runs", "good"):
        client.submit(AUDIO, id=job_id)
    damage(redis, key("waits"))
    with serving(redis, settings, work):
        found = [code_of(client, job_id) for job_id in ("good", "waits", "runs")]
    assert found == [None, "malformed_job", "malformed_job"]
    assert leftovers(redis) == []


@pytest.mark.parametrize("result", ["{", "7", '"text"', "{}"])
def test_a_result_that_cannot_be_read_is_replaced(
    client: Client, redis: Redis, settings: Settings, result: str
) -> None:
    client.submit(AUDIO, id="job")
    redis.set(keys.result("job"), result)
    redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    assert Execution("job", "first", "batch", "w").begin(redis, lease_s=3).verdict == "started"
    assert not redis.exists(keys.result("job"))


def test_what_all_jobs_share_costs_no_job_its_end(client: Client, redis: Redis, settings: Settings) -> None:
    client.submit(AUDIO, id="late", queue_ttl_s=1, webhook="https://app.example/")
    redis.hset(keys.job("late"), "enqueued_at", "2020-01-01T00:00:00.000000Z")
    client.submit(AUDIO, id="bad")
    redis.hset(keys.job("bad"), "data", "{")
    client.submit(AUDIO, id="good", webhook="https://app.example/")
    damage(redis, *SHARED)
    observed: list[str] = []
    with serving(
        redis,
        settings,
        lambda request, control, journal: transcribed(request),
        observe=lambda taken, ended: observed.append(taken.request.id),
    ) as host:
        found = [code_of(client, job_id) for job_id in ("late", "bad", "good")]
    assert found == ["expired", "malformed_job", None]
    assert (host.scripted.runs, observed) == (["good"], ["good"])
    assert [client.state(job_id).status for job_id in ("late", "bad", "good")] == ["failed", "failed", "completed"]
    assert not redis.exists(keys.LEASES)


def test_no_job_ends_for_a_key_that_all_share(client: Client, redis: Redis, settings: Settings) -> None:
    client.submit(AUDIO, id="job")
    damage(redis, keys.LEASES)
    keeper = LeaseKeeper(redis, lease_s=3)
    slot = Slot("batch", "host.fake.batch.1", redis, cast("Task", None), keeper, takes_all(redis), settings)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        slot._serve_one()
    assert client.state("job").status == "queued"
    redis.delete(keys.LEASES)
    with serving(redis, settings, lambda request, control, journal: transcribed(request)):
        redis.lmove(keys.intermediate("batch"), keys.queue("batch"))
        assert client.wait("job", timeout_s=120).status == "completed"


def test_neither_a_policy_nor_a_registry_keeps_the_reaper_from_its_jobs(
    client: Client, redis: Redis, settings: Settings
) -> None:
    redis.hset(keys.POLICY, "damaged", "1")
    damage(redis, keys.registry("finished", "interactive"))
    client.submit(AUDIO, id="job")
    redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    execution = Execution("job", "first", "batch", "host.fake.batch.1")
    assert execution.begin(redis, lease_s=3).verdict == "started"
    redis.zadd(keys.LEASES, {execution.lease: 1.0})
    redis.zadd(keys.registry("failed", "batch"), {"old": 1.0})
    assert Reaper(redis, settings).run_once().requeued == ("job",)
    assert redis.zcard(keys.registry("failed", "batch")) == 0


@pytest.mark.parametrize("what", [Client.state, Client.cancel, Client.retry])
def test_a_key_that_is_no_job_is_told_in_plain_words(
    client: Client, redis: Redis, what: Callable[[Client, str], object]
) -> None:
    damage(redis, keys.job("job"))
    with pytest.raises(QueueUnusableError, match=r"holds what is none of asrq's\.$") as caught:
        what(client, "job")
    assert "rq:job:ID" in (caught.value.hint or "")
    assert not caught.value.retryable
