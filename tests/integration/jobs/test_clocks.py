"""A client whose clock is wrong: what is decided about its jobs goes by the clock of Redis."""

from __future__ import annotations

import time
from datetime import datetime, tzinfo
from typing import Self

import pytest
from redis import Redis

from asrq_jobs import Client, keys, policy
from asrq_jobs.errors import AudioUnreadableError
from asrq_jobs.events import Event
from asrq_jobs.policy import Policy
from asrq_jobs.request import PathAudio
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker
from asrq_jobs.timestamp import iso
from asrq_worker.reaper.reaper import Reaper

AUDIO = PathAudio(path="/audio/talk.mp3")
MONTH_S = 30 * 86_400


@pytest.fixture(params=[-MONTH_S, MONTH_S], ids=["behind", "ahead"])
def wrong_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The time of this process, a month off; undone by its `undo`."""
    right, off = time.time, float(request.param)

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(right() + off, tz)

    monkeypatch.setattr(time, "time", lambda: right() + off)
    monkeypatch.setattr(policy, "datetime", Wrong)
    return monkeypatch


def near(redis: Redis, moment: str | float | None) -> bool:
    """Whether a time is about that of Redis."""
    assert moment is not None
    stamp = moment if isinstance(moment, float) else datetime.fromisoformat(moment).timestamp()
    return abs(stamp - redis.time()[0]) < 60


def test_a_retried_job_does_not_expire_at_once(
    wrong_clock: pytest.MonkeyPatch, client: Client, redis: Redis, valkey_url: str
) -> None:
    job_id = client.submit(AUDIO, queue_ttl_s=600).id
    client.cancel(job_id)
    client.retry(job_id)
    event = [Event.from_entry(fields) for _, fields in redis.xrange(keys.events(job_id))][-1]
    state = client.state(job_id)
    wrong_clock.undo()
    assert near(redis, state.enqueued_at)
    assert near(redis, event.at)
    assert Reaper(redis, Settings(redis_url=valkey_url)).run_once(whole=True).expired == ()


@pytest.mark.usefixtures("wrong_clock")
def test_a_canceled_job_stays_listed_for_as_long_as_it_is_kept(client: Client, redis: Redis) -> None:
    job_id = client.submit(AUDIO).id
    client.cancel(job_id)
    result = client.result(job_id)
    assert result is not None
    assert near(redis, result.completed_at)
    listed_until = redis.zscore(keys.registry("canceled", "batch"), job_id)
    assert listed_until is not None
    assert near(redis, listed_until - redis.ttl(keys.job(job_id)))


@pytest.mark.usefixtures("wrong_clock")
def test_the_age_of_a_dead_letter(client: Client, redis: Redis) -> None:
    client.submit(AUDIO, id="bad", lane="interactive")
    worker = ScriptedWorker(redis)
    worker.fail(worker.take(), AudioUnreadableError("Not audio."))
    redis.hset(keys.job("bad"), "ended_at", iso(redis.time()[0]))  # the worker's clock was right
    assert client.dead_letters(older_than_s=60) == []
    assert [letter.id for letter in client.dead_letters(older_than_s=-60)] == ["bad"]


@pytest.mark.usefixtures("wrong_clock")
def test_outcomes_count_from_the_change_of_the_policy(redis: Redis) -> None:
    assert policy.write(redis, None, Policy(backend="whisper"), reason="a test")
    current = policy.read(redis)
    assert current is not None
    assert near(redis, current.changed_at)
