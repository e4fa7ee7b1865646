"""The scripts that begin, note, end and recover, when they are called late, twice or by the wrong one."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, cast

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from rq.serializers import JSONSerializer
from rq.worker import Worker
from support.host import Gate, serving, takes_all, transcribed
from support.ledger import contradictions, events, leftovers

from asrq_jobs import Client, keys
from asrq_jobs.errors import AsrqError, DecoderCrashedError, ShutdownError
from asrq_jobs.events import Event
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Attempt, Result
from asrq_jobs.settings import Settings
from asrq_worker.backends.base import Transcript
from asrq_worker.job.attempt import Task
from asrq_worker.job.control import JobControl
from asrq_worker.job.ending import Ending
from asrq_worker.job.journal import Journal
from asrq_worker.queue.execution import Beginning, Execution, attempts_of, give_back
from asrq_worker.queue.journal import RedisJournal
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.queue.slot import Slot
from asrq_worker.reaper import recovery
from asrq_worker.reaper.reaper import Reaper

AUDIO = PathAudio(path="/audio/a.wav")


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=valkey_url, lease_s=3)


def test_a_begin_whose_answer_was_lost_may_be_sent_again(redis: Redis, held: Execution) -> None:
    before = events(redis, "job")
    again = held.begin(redis, lease_s=3)
    assert (again.verdict, len(again.attempts)) == ("started", 1)
    assert events(redis, "job") == before
    other = Execution("job", "second", "batch", "host.fake.batch.2")
    assert other.begin(redis, lease_s=3).verdict == "taken"


def test_an_end_whose_answer_was_lost_may_be_sent_again_and_another_one_not(client: Client, held: Execution) -> None:
    def end(text: str, *, at: float) -> bool:
        attempt = Attempt(number=1, worker=held.worker, started_at="s", ended_at="e")
        return held.end(
            client.redis,
            Ending(
                "completed",
                Event(type="completed", at=at),
                attempt,
                Result(id="job", status="completed", text=text, attempts=(attempt,)),
                ttl_s=60,
            ),
            audio=AUDIO,
            blob_ttl_s=60,
        )

    assert end("first", at=1.0)
    assert end("first", at=1.0)
    assert not end("second", at=2.0)
    result = client.result("job")
    assert result is not None
    assert result.text == "first"
    assert contradictions(client, "job") == []
    assert leftovers(client.redis) == []


def test_after_the_lease_is_gone_the_journal_adds_nothing(redis: Redis, held: Execution) -> None:
    journal = RedisJournal(redis, held, Settings())
    journal.event(Event(type="progress", at=1.0))
    journal.save("0-100", Transcript("text", "en"))
    assert (events(redis, "job")[-1].type, list(journal.load())) == ("progress", ["0-100"])
    before = events(redis, "job")
    redis.delete(keys.LEASES, keys.chunks("job"))
    journal.event(Event(type="progress", at=2.0))
    journal.save("100-200", Transcript("text", "en"))
    assert events(redis, "job") == before
    assert not redis.exists(keys.chunks("job"))


def test_the_last_text_of_a_live_job_does_not_wait_for_the_end(redis: Redis, held: Execution) -> None:
    """Else the draft would be shown next to it, or be gone before it comes."""
    journal = RedisJournal(redis, held, Settings())
    journal.event(Event(type="partial", at=1.0, text="hel"))
    journal.conclude(Event(type="chunk", at=1.0, text="hello"), Event(type="progress", at=1.0))
    assert [event.type for event in events(redis, "job")][-2:] == ["chunk", "progress"]
    assert "partial" not in {event.type for event in events(redis, "job")}
    assert journal.concluding() == []


def test_a_reaper_that_is_overtaken_by_a_renewal_does_nothing_and_says_so(
    redis: Redis, settings: Settings, held: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.zadd(keys.LEASES, {held.lease: time.time() - 1})

    def renew_meanwhile(redis: Redis, job_id: str) -> tuple[Attempt, ...]:
        redis.zadd(keys.LEASES, {held.lease: time.time() + 3}, xx=True)
        return attempts_of(redis, job_id)

    monkeypatch.setattr(recovery, "attempts_of", renew_meanwhile)
    report = Reaper(redis, settings).run_once()
    assert (report.requeued, report.failed) == ((), ())
    assert redis.hget(keys.job("job"), "status") == b"started"


def test_a_running_job_that_somebody_damages_ends_and_leaves_nothing(
    client: Client, settings: Settings, held: Execution
) -> None:
    client.redis.hset(keys.job("job"), "data", "{")
    client.redis.set(keys.cancel("job"), "1")
    client.redis.zadd(keys.LEASES, {held.lease: time.time() - 1})
    assert Reaper(client.redis, settings).run_once().refused == ("job",)
    result = client.wait("job", timeout_s=120)
    assert result.error is not None
    assert (result.status, result.error.code) == ("failed", "malformed_job")
    assert leftovers(client.redis) == []


def test_a_running_job_that_somebody_deletes_leaves_no_execution(
    client: Client, settings: Settings, held: Execution
) -> None:
    client.redis.delete(keys.job("job"))
    client.redis.zadd(keys.LEASES, {held.lease: time.time() - 1})
    Reaper(client.redis, settings).run_once()
    assert client.redis.zcard(keys.LEASES) == 0
    assert not client.redis.exists(keys.registry("wip", "batch"), keys.rq_execution("job", "first"))


def test_two_reapers_at_once_recover_a_job_once(client: Client, settings: Settings, held: Execution) -> None:
    client.redis.zadd(keys.LEASES, {held.lease: time.time() - 1})
    reports = []
    for _ in range(2):
        client.redis.delete(keys.LEADER)  # both believe that they lead
        reports.append(Reaper(client.redis, settings).run_once())
    assert [report.requeued for report in reports] == [("job",), ()]
    assert client.redis.lrange(keys.queue("batch"), 0, -1) == [b"job"]
    assert client.cancel("job") == "canceled"
    assert leftovers(client.redis) == []


def test_a_job_canceled_while_its_dead_worker_held_it_ends_as_that_is_found(
    client: Client, settings: Settings, held: Execution
) -> None:
    assert client.cancel("job") == "requested"
    client.redis.zadd(keys.LEASES, {held.lease: time.time() - 1})
    report = Reaper(client.redis, settings).run_once()
    assert (report.canceled, report.requeued) == (("job",), ())
    result = client.wait("job", timeout_s=120)
    assert result.error is not None
    assert (result.status, result.error.code) == ("canceled", "canceled")
    assert client.redis.ttl(keys.result("job")) == pytest.approx(settings.result_ttl_s, abs=10)
    assert contradictions(client, "job") == []
    assert leftovers(client.redis) == []


def test_a_job_whose_worker_has_died_is_canceled_at_once(client: Client, settings: Settings, held: Execution) -> None:
    client.redis.zadd(keys.LEASES, {held.lease: time.time() - 1})
    assert client.cancel("job") == "canceled"
    assert client.wait("job", timeout_s=120).status == "canceled"
    assert contradictions(client, "job") == []
    report = Reaper(client.redis, settings).run_once()
    assert (report.requeued, report.failed, report.canceled) == ((), (), ())
    assert leftovers(client.redis) == []


def test_a_worker_that_wakes_after_its_job_was_canceled_is_told_and_changes_nothing(
    client: Client, redis: Redis, settings: Settings
) -> None:
    gate = Gate()
    client.submit(AUDIO, id="job")
    with serving(redis, settings, gate, renew=False) as host:
        assert gate.inside.wait(60)
        redis.zadd(keys.LEASES, dict.fromkeys(redis.zrange(keys.LEASES, 0, -1), 1.0))
        assert client.cancel("job") == "canceled"
        before = client.result("job")
        host.keeper.keep()
    assert client.result("job") == before
    assert contradictions(client, "job") == []
    assert leftovers(redis) == []


@pytest.mark.parametrize("error", [DecoderCrashedError("It crashed."), ShutdownError("The worker stops.")])
def test_a_cancel_that_comes_as_the_attempt_fails_ends_the_job(
    client: Client, redis: Redis, settings: Settings, error: AsrqError
) -> None:
    def cancel_and_fail(request: Request, control: JobControl, journal: Journal) -> Result:
        redis.set(keys.cancel(request.id), "1", ex=60)
        raise error

    client.submit(AUDIO, id="job")
    with serving(redis, settings, cancel_and_fail, renew=False) as host:
        assert client.wait("job", timeout_s=120).status == "canceled"
    assert host.scripted.runs == ["job"]
    assert contradictions(client, "job") == []
    assert leftovers(redis) == []


def test_a_job_that_runs_is_not_canceled_as_if_it_waited(client: Client, held: Execution) -> None:
    client.redis.rpush(keys.queue("batch"), "job")  # the reaper gave it back while its slot was slow to begin it
    assert client.cancel("job") == "requested"
    assert client.state("job").status == "processing"
    assert client.result("job") is None


def test_a_job_submitted_as_a_slot_looks_for_it_in_vain_loses_no_attempt(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = LeaseKeeper(client.redis, lease_s=3)
    slot = Slot(
        "batch", "host.fake.batch.1", client.redis, cast("Task", None), keeper, takes_all(client.redis), settings
    )
    client.redis.rpush(keys.queue("batch"), "job")

    def submitted_meanwhile(_: str) -> dict[bytes, bytes]:
        client.submit(AUDIO, id="job")
        return {}

    monkeypatch.setattr(slot, "_read", submitted_meanwhile)
    slot._serve_one()
    monkeypatch.undo()
    assert client.redis.lrange(keys.queue("batch"), 0, -1) == [b"job", b"job"]
    assert not client.redis.exists(keys.intermediate("batch"), keys.attempts("job"), keys.LEASES)


def test_a_cancel_is_heeded_whenever_it_comes(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Execution.begin

    def begin_and_cancel(self: Execution, redis: Redis, **named: Any) -> Beginning:
        begun = begin(self, redis, **named)
        if self.job_id == "as-it-began":
            assert client.cancel(self.job_id) == "requested"
            assert not host.keeper.wanted(self.job_id), "as who hears the message asks, when nobody holds the job yet"
        return begun

    monkeypatch.setattr(Execution, "begin", begin_and_cancel)
    for job_id in ("in-transit", "as-it-began"):
        client.submit(AUDIO, id=job_id)
    client.redis.lmove(keys.queue("batch"), keys.intermediate("batch"), "LEFT", "RIGHT")
    assert client.cancel("in-transit") == "canceled"
    give_back(client.redis, "in-transit", "batch")
    with serving(client.redis, settings, lambda request, control, journal: transcribed(request)) as host:
        assert client.wait("in-transit", timeout_s=120).status == "canceled"
        assert client.wait("as-it-began", timeout_s=120).status == "canceled"
    assert host.scripted.runs == []
    assert leftovers(client.redis) == []


def test_an_id_that_stands_in_its_lane_once_more_does_not_run_its_job_again(client: Client, settings: Settings) -> None:
    client.submit(AUDIO, id="job")
    client.redis.rpush(keys.queue("batch"), "job")
    with serving(client.redis, settings, lambda request, control, journal: transcribed(request)) as host:
        client.wait("job", timeout_s=120)
        while client.redis.exists(keys.queue("batch"), keys.intermediate("batch")):
            pass
    assert host.scripted.runs == ["job"]
    assert contradictions(client, "job") == []


def test_a_killed_host_is_forgotten_and_a_living_one_is_not(redis: Redis, settings: Settings) -> None:
    announced = json.dumps({"state": "ready", "at": time.time() - 100_000})
    redis.hset(keys.WORKERS, mapping={"dead-1": announced, "box-2": announced})
    redis.sadd(keys.RQ_WORKERS, keys.rq_worker("box-2.fake.batch.1"))
    Reaper(redis, settings).run_once()
    assert redis.hkeys(keys.WORKERS) == [b"box-2"]


def test_a_suspended_host_that_redis_forgot_registers_again(redis: Redis, settings: Settings) -> None:
    with serving(redis, settings, lambda request, control, journal: transcribed(request)) as host:
        while not Worker.all(connection=redis):
            pass
        redis.delete(keys.rq_worker(host.slots[0].name), keys.RQ_WORKERS)
        host.keeper.keep()
        (again,) = Worker.all(connection=redis, serializer=JSONSerializer)
        assert (again.name, again.queue_names()) == (host.slots[0].name, ["asrq-batch"])
        assert 0 < redis.ttl(again.key) <= 120
    assert Worker.all(connection=redis) == []


def test_an_outage_right_after_the_start_of_a_job_costs_no_attempt_and_no_cancel(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the mark of a cancel cannot be looked at, the keeper finds it at its next turn."""
    begin, gate, of_slots = Execution.begin, Gate(), set[int]()

    def keep_unless_a_slot_asks(self: LeaseKeeper) -> None:
        if threading.get_ident() in of_slots:
            raise RedisConnectionError("away")
        keep(self)

    def begin_and_lose_the_connection(self: Execution, redis: Redis, **named: Any) -> Beginning:
        begun = begin(self, redis, **named)
        assert client.cancel(self.job_id) == "requested"
        assert not host.keeper.wanted(self.job_id)
        of_slots.add(threading.get_ident())
        return begun

    keep = LeaseKeeper.keep
    monkeypatch.setattr(LeaseKeeper, "keep", keep_unless_a_slot_asks)
    monkeypatch.setattr(Execution, "begin", begin_and_lose_the_connection)
    with serving(client.redis, settings, gate) as host:
        client.submit(AUDIO, id="job")
        result = client.wait("job", timeout_s=50)
    assert (result.status, len(result.attempts)) == ("canceled", 1)
    assert host.scripted.runs == ["job"]


def test_a_failed_job_has_a_whole_history(client: Client, settings: Settings) -> None:
    client.submit(AUDIO, id="job", retries=0)
    client.redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    execution = Execution("job", "only", "batch", "w")
    execution.begin(client.redis, lease_s=3)
    client.redis.zadd(keys.LEASES, {execution.lease: time.time() - 1})
    assert Reaper(client.redis, settings).run_once().failed == ("job",)
    assert contradictions(client, "job") == []
    assert leftovers(client.redis) == []
