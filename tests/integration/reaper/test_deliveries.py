"""Which jobs have a webhook delivered, however they end."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis import Redis
from support.host import serving, transcribed

from asrq_jobs import Client, PathAudio, keys
from asrq_jobs.errors import AudioUnreadableError, UrlNotAllowedError, WorkerLostError
from asrq_jobs.request import Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.webhook import Delivery
from asrq_worker.doctor import queue
from asrq_worker.doctor.check import Check
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.queue.execution import Execution
from asrq_worker.reaper.reaper import Reaper
from asrq_worker.routing.admission import refuse_webhook

AUDIO = PathAudio(path="/clip.wav")
URL = "https://app.example/asrq?key=1"


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=valkey_url, webhook_secret="s", lease_s=3, max_attempts=1)  # noqa: S106  # of this test


def webhooks(redis: Redis) -> list[tuple[str, str, str | None]]:
    stored = redis.zrange(keys.WEBHOOKS, 0, -1, withscores=True)
    assert all(-5 < redis.time()[0] - due < 60 for _, due in stored)  # due when its job ended: none overtakes another
    found = [Delivery.model_validate_json(raw) for raw, _ in stored]
    assert all(delivery.url == URL and delivery.tries == 0 for delivery in found)
    return [(delivery.payload.id, delivery.payload.status, delivery.payload.code) for delivery in found]


def work(request: Request, control: JobControl, journal: Journal) -> Result:
    del control, journal
    if request.id == "bad":
        raise AudioUnreadableError("no")
    return transcribed(request)


def test_completed_and_failed_jobs_have_one_delivery_each_and_others_none(client: Client, settings: Settings) -> None:
    with serving(client.redis, settings, work):
        client.submit(AUDIO, id="good", webhook=URL)
        client.submit(AUDIO, id="bad", webhook=URL)
        client.submit(AUDIO, id="quiet")
        for job_id in ("good", "bad", "quiet"):
            client.wait(job_id, timeout_s=50)
    assert sorted(webhooks(client.redis)) == [("bad", "failed", "audio_unreadable"), ("good", "completed", None)]


def test_a_canceled_job_has_no_delivery(client: Client) -> None:
    client.submit(AUDIO, id="job", webhook=URL)
    client.cancel("job")
    assert webhooks(client.redis) == []


def test_without_a_secret_nothing_is_left_behind(client: Client, valkey_url: str) -> None:
    with serving(client.redis, Settings(redis_url=valkey_url), work):
        client.submit(AUDIO, id="good", webhook=URL)
        client.wait("good", timeout_s=50)
    assert webhooks(client.redis) == []


def test_jobs_that_the_reaper_ends_have_deliveries(client: Client, settings: Settings) -> None:
    client.submit(AUDIO, id="lost", webhook=URL)
    client.redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    assert Execution("lost", "one", "batch", "w").begin(client.redis, lease_s=3).verdict == "started"
    client.submit(AUDIO, id="late", webhook=URL, queue_ttl_s=1)
    Reaper(client.redis, settings, clock=lambda: time.time() + 10).run_once(whole=True)
    assert sorted(webhooks(client.redis)) == [("late", "failed", "expired"), ("lost", "failed", WorkerLostError.code)]


def test_the_doctor_finds_what_nobody_delivers(client: Client, settings: Settings) -> None:
    def found() -> Check:
        return next(check for check in queue.examine(settings) if check.name == "webhooks")

    with serving(client.redis, settings, work):
        client.submit(AUDIO, id="good", webhook=URL)
        client.wait("good", timeout_s=50)
    assert found().status == "ok"
    client.redis.zincrby(keys.WEBHOOKS, -3600, client.redis.zrange(keys.WEBHOOKS, 0, 0)[0])
    assert found().status == "warn"
    assert "1 due" in found().message
    client.redis.delete(keys.WEBHOOKS)
    client.redis.set(keys.WEBHOOKS, "rubbish")
    assert [
        each for each in queue.examine(settings) if each.name in {"webhooks", "redis"} and each.status != "ok"
    ] == []


def test_what_nobody_delivers_is_dropped_when_failed_jobs_are(client: Client, settings: Settings) -> None:
    with serving(client.redis, settings, work):
        client.submit(AUDIO, id="good", webhook=URL)
        client.wait("good", timeout_s=50)
    now = time.time() + settings.failure_ttl_s - 60
    reaper = Reaper(client.redis, settings, clock=lambda: now)
    reaper.run_once()
    assert webhooks(client.redis) == [("good", "completed", None)]
    now += 120
    reaper.run_once()
    assert webhooks(client.redis) == []


@pytest.mark.parametrize("named", [{"webhook": URL}, {"group": {"id": "night", "size": 1, "webhook": URL}}])
def test_a_webhook_is_refused_where_none_are_made(named: dict[str, Any]) -> None:
    request = Request.build(id="job", audio=AUDIO, **named)
    refuse_webhook(request, enabled=True)
    with pytest.raises(UrlNotAllowedError, match="not enabled") as refused:
        refuse_webhook(request, enabled=False)
    field = "webhook" if "webhook" in named else "group.webhook"
    assert f"Leave {field} out" in (refused.value.hint or "")
