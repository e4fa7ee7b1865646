"""What is counted of real jobs, in Redis and by the reaper that leads."""

from __future__ import annotations

import pytest
from redis import Redis
from support.host import serving, transcribed
from support.series import series

from asrq_jobs import Client, keys
from asrq_jobs.errors import AudioUnreadableError
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.job.context import JobContext
from asrq_worker.job.control import JobControl
from asrq_worker.job.ending import Ending
from asrq_worker.job.journal import Journal
from asrq_worker.monitor.reaper import ReaperMonitor
from asrq_worker.monitor.registry import Metrics
from asrq_worker.reaper.reaper import Reaper, Round

AUDIO = PathAudio(path="/audio/a.wav")


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=valkey_url, lease_s=3)


def test_a_slot_tells_of_each_attempt_once_it_is_written(client: Client, redis: Redis, settings: Settings) -> None:
    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        if request.id == "bad":
            raise AudioUnreadableError("Not audio.")
        if request.id == "late":
            redis.delete(keys.LEASES)  # somebody else has it now
        return transcribed(request)

    told: list[tuple[str, str | None]] = []

    def observe(context: JobContext, ending: Ending) -> None:
        told.append((context.request.id, ending.verdict))

    for job_id in ("good", "bad", "late", "last"):
        client.submit(AUDIO, id=job_id)
    with serving(redis, settings, work, observe=observe):
        client.wait("last", timeout_s=120)
    assert told == [("good", "completed"), ("bad", "failed"), ("late", None), ("last", "completed")]
    counted = redis.hmget(keys.STATS, [keys.completed_of("batch"), keys.audio_of("batch")])
    assert [float(value or 0) for value in counted] == [2, 4]  # transcribed() says two seconds each


def test_the_reaper_that_leads_tells_how_the_lanes_stand(client: Client, redis: Redis, settings: Settings) -> None:
    redis.hset(keys.STATS, mapping={keys.completed_of("batch"): 10, keys.audio_of("batch"): 300, "canceled": "many"})
    for _ in range(3):
        client.submit(AUDIO)
    monitor = ReaperMonitor(Metrics(), redis, settings)
    assert monitor.ready().state == "starting"
    monitor.looked(Reaper(redis, settings).run_once())
    found = series(monitor.metrics)
    assert found["asrq_reaper_leading"] == 1
    assert found['asrq_lane_jobs{lane="batch",state="waiting"}'] == 3
    assert found['asrq_lane_jobs{lane="interactive",state="waiting"}'] == 0
    assert found['asrq_lane_backlog_audio_seconds{lane="batch"}'] == 90
    assert 'asrq_lane_drain_seconds{lane="batch"}' not in found
    assert found['asrq_lane_drain_seconds{lane="interactive"}'] == 0
    assert found['asrq_queue_events_total{event="canceled"}'] == 0  # written by hand, and no number
    assert found['asrq_reaper_actions_total{action="requeued"}'] == 0
    assert (monitor.ready().ok, monitor.ready().state) == (True, "leading")

    monitor.looked(Round(leading=False, requeued=("a", "b")))
    found = series(monitor.metrics)
    assert found["asrq_reaper_leading"] == 0
    assert found['asrq_reaper_actions_total{action="requeued"}'] == 2
    assert not any(name.startswith(("asrq_lane", "asrq_queue_events")) for name in found)
    assert (monitor.ready().ok, monitor.ready().state) == (True, "standby")
    monitor.close()


def test_a_leader_that_has_not_looked_for_long_tells_nothing_old(redis: Redis, settings: Settings) -> None:
    now = [0.0]
    monitor = ReaperMonitor(Metrics(), redis, settings, clock=lambda: now[0])
    monitor.looked(Reaper(redis, settings).run_once())
    assert series(monitor.metrics)["asrq_reaper_leading"] == 1
    now[0] = 61.0
    found = series(monitor.metrics)
    assert found["asrq_reaper_leading"] == 0
    assert not any(name.startswith("asrq_lane") for name in found)
    assert not monitor.alive().ok  # Redis answers, so it is the reaper that stands still
    monitor.close()
