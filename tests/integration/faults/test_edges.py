"""Where the code that keeps jobs safe meets faults: defects, keys of the wrong type, a queue that is away."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from rq.job import Job
from rq.serializers import JSONSerializer
from support.host import serving, takes_all, transcribed
from support.waiting import until

from asrq_jobs import Client, keys, performing
from asrq_jobs import policy as policies
from asrq_jobs.errors import LeaseLostError, MalformedJobError, RequestError, SetupError, ShutdownError
from asrq_jobs.events import Event
from asrq_jobs.policy import Policy, Share
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.settings import Settings
from asrq_jobs.steps import Command
from asrq_worker import task
from asrq_worker.backends.base import Transcript
from asrq_worker.job.attempt import Task
from asrq_worker.job.context import JobContext
from asrq_worker.job.control import JobControl
from asrq_worker.process import supervision
from asrq_worker.queue import calls, guard
from asrq_worker.queue.execution import Execution
from asrq_worker.queue.journal import RedisJournal
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.queue.slot import Slot
from asrq_worker.reaper import reaper as reaping
from asrq_worker.reaper import recovery, rollback
from asrq_worker.reaper.reaper import Reaper, Round
from asrq_worker.routing.policy import FEWEST, BackendOutcome

AUDIO = PathAudio(path="/audio/a.wav")


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=valkey_url, lease_s=3, reaper_interval_s=0.05)


def away(*_: object, **__: object) -> Any:
    raise RedisConnectionError("away")


def odd(*_: object, **__: object) -> Any:
    raise ResponseError("ERR something else")


def defect(*_: object, **__: object) -> Any:
    raise ZeroDivisionError


class FirstTimes:
    """Fails so often, then does what it stands for."""

    def __init__(self, fail: Callable[..., Any], then: Callable[..., Any]) -> None:
        self.calls = 0
        self._fail = fail
        self._then = then

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return (self._fail if self.calls == 1 else self._then)(*args, **kwargs)


def test_what_the_journal_cannot_write_never_fails_the_job(
    redis: Redis, held: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = RedisJournal(redis, held, Settings())
    redis.hset(keys.chunks("job"), "0-1", "{")
    assert journal.load() == {}, "a checkpoint that does not parse is done again"
    tried = FirstTimes(away, away)
    monkeypatch.setattr(performing, "run", tried)
    monkeypatch.setattr(redis, "hgetall", away)
    journal.event(Event(type="progress", at=1.0))
    journal.save("0-1", Transcript("text", "en"))
    assert journal.load() == {}
    assert tried.calls == 2


def test_what_the_keeper_is_told_reaches_the_jobs_it_is_about(redis: Redis) -> None:
    keeper = LeaseKeeper(redis, lease_s=3)
    ones, others = JobControl(), JobControl()
    keeper.hold(Execution("one", "e", "batch", "w"), ones)
    keeper.hold(Execution("other", "e", "batch", "w"), others)
    keeper.cancel("one")
    assert (ones.wake.is_set(), others.wake.is_set()) == (True, False)
    keeper.stop_all(ShutdownError("Stopping."))
    with pytest.raises(ShutdownError):
        others.check()


def test_the_lease_of_work_that_stands_still_is_not_renewed(redis: Redis, held: Execution) -> None:
    now = [100.0]
    keeper, control = LeaseKeeper(redis, lease_s=100), JobControl(patience_s=60, clock=lambda: now[-1])
    keeper.hold(held, control)
    now.append(161.0)
    before = redis.zscore(keys.LEASES, held.lease)
    keeper.keep()
    assert redis.zscore(keys.LEASES, held.lease) == before
    control.check()
    keeper.keep()
    assert (redis.zscore(keys.LEASES, held.lease) or 0) > (before or 0)


@pytest.mark.parametrize("failure", [defect, away])
def test_neither_a_defect_nor_an_outage_stops_the_keeper(
    redis: Redis, held: Execution, failure: Callable[..., Any]
) -> None:
    beat = FirstTimes(failure, lambda pipe: None)
    keeper, control = LeaseKeeper(redis, lease_s=0.15, heartbeats=[beat]), JobControl()
    keeper.hold(held, control)
    redis.delete(keys.LEASES)
    keeper.loop.start()
    try:
        until(lambda: beat.calls > 1)
        assert control.wake.wait(60)
    finally:
        keeper.loop.close()
    with pytest.raises(LeaseLostError):
        control.check()


@pytest.mark.parametrize("failure", [defect, away])
def test_neither_a_defect_nor_an_outage_costs_a_slot(
    client: Client, redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch, failure: Callable[..., Any]
) -> None:
    serve = FirstTimes(failure, Slot._serve_one)

    def serve_one(self: Slot) -> None:
        serve(self)

    monkeypatch.setattr(Slot, "_serve_one", serve_one)
    monkeypatch.setattr("asrq_worker.queue.loop._PAUSE_S", 0.01)
    monkeypatch.setattr(Slot, "register_death", away)
    client.submit(AUDIO, id="job")
    with serving(redis, settings, lambda request, control, journal: transcribed(request)):
        assert client.wait("job", timeout_s=120).status == "completed"


def _slot(redis: Redis, settings: Settings) -> Slot:
    keeper = LeaseKeeper(redis, lease_s=3)
    return Slot("batch", "host.fake.batch.1", redis, cast("Task", None), keeper, takes_all(redis), settings)


def test_a_slot_that_is_not_registered_yet_does_not_beat(redis: Redis, settings: Settings) -> None:
    pipe = redis.pipeline()
    _slot(redis, settings).beat(pipe)
    assert len(pipe) == 0


def test_a_commit_waits_for_its_queue(
    client: Client, redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [away, away]
    end = Execution.end

    def end_in_the_end(self: Execution, *args: Any, **kwargs: Any) -> bool:
        return failures.pop()() if failures else end(self, *args, **kwargs)

    monkeypatch.setattr(Execution, "end", end_in_the_end)
    client.submit(AUDIO, id="job")
    with serving(redis, settings, lambda request, control, journal: transcribed(request)) as host:
        assert client.wait("job", timeout_s=120).status == "completed"
    assert (failures, host.scripted.runs) == ([], ["job"])


def test_what_a_slot_in_a_hurry_cannot_hand_in_is_recovered(
    client: Client, redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Execution, "end", away)
    client.submit(AUDIO, id="job")
    with serving(redis, settings, lambda request, control, journal: transcribed(request)) as host:
        until(lambda: redis.exists(keys.LEASES))
        for slot in host.slots:
            slot.loop.stop()
            slot.hurry()
    monkeypatch.undo()
    now = time.time() + settings.lease_s
    assert Reaper(redis, settings, clock=lambda: now).run_once().requeued == ("job",)


def test_a_job_that_comes_as_a_slot_stops_goes_back(client: Client, redis: Redis, settings: Settings) -> None:
    client.submit(AUDIO, id="job")
    slot = _slot(redis, settings)
    slot.loop.stop()
    assert slot._take() is None
    assert redis.lrange(keys.queue("batch"), 0, -1) == [b"job"]
    assert not redis.exists(keys.intermediate("batch"))


def test_what_is_no_id_leaves_the_queue(redis: Redis, settings: Settings) -> None:
    redis.rpush(keys.queue("batch"), b"\xff")
    assert _slot(redis, settings)._take() is None
    assert not redis.exists(keys.queue("batch"), keys.intermediate("batch"))


def test_a_job_is_dequeued_with_what_is_stored_of_it(client: Client) -> None:
    redis, lane = client.redis, "batch"
    assert calls.dequeue(redis, lane, within_s=0.01) == (None, None)
    for job_id in ("one", "two"):
        client.submit(AUDIO, id=job_id)
    assert calls.dequeue(redis, lane, within_s=1) == (b"one", redis.hgetall(keys.job("one")))
    redis.script_flush()
    assert calls.dequeue(redis, lane, within_s=1) == (b"two", None), "what it does not know costs no job"
    redis.lmove(keys.intermediate(lane), keys.queue(lane), "RIGHT", "LEFT")
    assert calls.dequeue(redis, lane, within_s=1) == (b"two", redis.hgetall(keys.job("two"))), "now it knows again"
    redis.delete(keys.queue(lane))
    redis.set(keys.queue(lane), "damaged")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        calls.dequeue(redis, lane, within_s=1)


def test_what_others_dequeue_meanwhile_is_not_taken_for_the_job(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.submit(AUDIO, id="one")
    together = performing.together

    def crowded(redis: Redis, commands: Sequence[Command]) -> list[object]:
        [move, known] = commands
        [moved] = together(redis, [move])
        redis.rpush(keys.intermediate("batch"), "two", "three")
        return [moved, *together(redis, [known])]

    monkeypatch.setattr(performing, "together", crowded)
    assert calls.dequeue(client.redis, "batch", within_s=1) == (b"one", None)


@pytest.mark.parametrize("field", ["created_at", "enqueued_at", "description", "meta", "timeout", "status", "data"])
@pytest.mark.parametrize("value", [b"", b"\xff", b"x", b"2026-02-30T00:00:00.000000Z", b"[]", b"9" * 5000, b"1h"])
def test_what_is_admitted_rq_can_read(client: Client, redis: Redis, field: str, value: bytes) -> None:
    client.submit(AUDIO, id="job", timeout_s=60)
    raw = redis.hgetall(keys.job("job"))
    assert guard.admit("job", "batch", raw, redis).id == "job"
    damaged = raw | {field.encode(): value}
    with suppress(RequestError):
        guard.admit("job", "batch", damaged, redis)
        Job("job", connection=redis, serializer=JSONSerializer).restore(damaged)


@pytest.mark.parametrize("data", [b" " * (1 << 20) + b"[]", zlib.compress(b" " * (1 << 20) + b"[]")])
def test_no_job_is_read_that_is_larger_than_any_of_ours(redis: Redis, data: bytes) -> None:
    with pytest.raises(MalformedJobError, match="larger"):
        guard.admit("job", "batch", {b"data": data}, redis)


def test_a_plain_rq_worker_is_told_what_it_lacks() -> None:
    with pytest.raises(SetupError, match="asrq worker"):
        task.transcribe({})


def test_a_job_written_by_hand_has_waited_for_nobody_knows_how_long() -> None:
    request = Request.build(id="job", audio=AUDIO)
    assert JobContext(request, ()).queue_wait_s is None


# The reaper


def test_it_survives_outages_and_defects_and_lets_another_lead(
    client: Client, redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [defect, away]

    def inspect(*args: Any, **kwargs: Any) -> Any:
        return failures.pop()() if failures else []

    seen: list[Round] = []
    monkeypatch.setattr(reaping, "inspect", inspect)
    reaper = Reaper(redis, settings, observe=seen.append)
    reaper.start()
    until(lambda: seen)
    assert redis.exists(keys.LEADER)
    reaper.close()
    assert not redis.exists(keys.LEADER)
    assert not failures


def test_after_a_standstill_it_counts_leases_anew(redis: Redis, settings: Settings, held: Execution) -> None:
    now = time.time()
    passing = iter([settings.lease_s * 5, 0.1, settings.lease_s])  # a machine that slept, and two looks
    seen: list[Round] = []

    def observe(report: Round) -> None:
        nonlocal now
        now += next(passing, 0.0)
        seen.append(report)

    reaper = Reaper(redis, settings, clock=lambda: now, observe=observe)
    reaper.start()
    until(lambda: len(seen) >= 4)
    reaper.close()
    assert [report.requeued for report in seen[:4]] == [(), (), (), (held.job_id,)]


def test_outages_that_come_and_go_do_not_keep_it_from_recovering(
    redis: Redis, settings: Settings, held: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looks = time.time(), 0
    lead = Reaper._lead

    def lead_or_fail(self: Reaper) -> bool:
        nonlocal now, looks
        now += settings.lease_s * 0.6
        looks += 1
        return lead(self) if looks % 2 else cast("bool", away())

    monkeypatch.setattr(Reaper, "_lead", lead_or_fail)
    seen: list[Round] = []
    reaper = Reaper(redis, settings, clock=lambda: now, observe=seen.append)
    reaper.start()
    until(lambda: seen and seen[-1].requeued)
    reaper.close()
    assert redis.lrange(keys.queue("batch"), 0, -1) == [b"job"]


def test_it_tells_what_it_did(
    client: Client, redis: Redis, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client.submit(AUDIO, id="retry")
    redis.delete(keys.queue("batch"))
    redis.hset(keys.job("retry"), "status", "scheduled")
    redis.zadd(keys.registry("scheduled", "batch"), {"retry": 1.0})
    seen: list[Round] = []
    reaper = Reaper(redis, settings, observe=seen.append)
    reaper.start()
    until(lambda: any(report.due == ("retry",) for report in seen))
    redis.hset(keys.WORKERS, "dead-1", "{}")
    until(lambda: any(report.workers == ("dead-1",) for report in seen))
    reaper.close()
    assert [record.getMessage() for record in caplog.records] == [
        "functions.loaded", "reaper.enqueued", "reaper.repaired"
    ]  # fmt: skip


def test_it_ends_though_it_cannot_resign(redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reaper, "resign", away)
    with Reaper(redis, settings) as reaper:
        until(lambda: redis.exists(keys.LEADER))
    assert reaper.loop.join(60)
    assert "reaper" not in supervision.missing()


def test_one_job_that_redis_refuses_does_not_keep_the_others_from_being_recovered(
    client: Client, redis: Redis, settings: Settings, held: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_recover", odd)
    redis.zadd(keys.LEASES, {held.lease: 1.0})
    redis.hset(keys.job("retry"), mapping={"status": "scheduled", "origin": "asrq-batch"})
    redis.zadd(keys.registry("scheduled", "batch"), {"retry": 1.0})
    report = Reaper(redis, settings).run_once()
    assert (report.requeued, report.due) == ((), ("retry",))
    monkeypatch.setattr("asrq_worker.reaper.repairs.give_back", odd)
    redis.rpush(keys.intermediate("batch"), "stuck")
    now = time.time()
    reaper = Reaper(redis, settings, clock=lambda: now)
    redis.delete(keys.LEADER)
    reaper.run_once()
    now += settings.lease_s
    assert reaper.run_once().recovered == ()


def test_a_dry_run_tells_a_job_of_the_wrong_type_and_leaves_it(redis: Redis, settings: Settings) -> None:
    redis.set(keys.job("odd"), "a string")
    redis.zadd(keys.LEASES, {"batch/odd/first": 1.0})
    assert Reaper(redis, settings).run_once(dry_run=True).refused == ("odd",)
    assert redis.get(keys.job("odd")) == b"a string"


def _on_trial(redis: Redis) -> None:
    trial = Policy(backend="whisper", canary=Share(backend="qwen", share=0.5))
    assert policies.write(redis, None, trial, reason="test")
    for _ in range(FEWEST):
        redis.lpush(keys.outcomes("qwen"), BackendOutcome(at=time.time() + 1, code="engine_crashed").model_dump_json())


def test_a_trial_is_judged_by_what_can_be_read(redis: Redis) -> None:
    now = time.time() + 2
    assert rollback.judge(redis, now=now) is None, "no policy, no trial"
    _on_trial(redis)
    redis.lpush(keys.outcomes("whisper"), "{")
    assert rollback.judge(redis, now=now, dry_run=True) == "qwen"
    assert Reaper(redis, Settings(), clock=lambda: now).run_once(dry_run=True).rolled_back == ("qwen",)
    current = policies.read(redis)
    assert current is not None
    assert current.canary is not None
    redis.lpush(keys.outcomes("qwen"), json.dumps("by hand"))
    assert rollback.judge(redis, now=now) is None
    redis.lpop(keys.outcomes("qwen"))
    redis.set(keys.POLICY, "{")
    assert rollback.judge(redis, now=now) is None


def test_a_policy_that_was_changed_meanwhile_is_not_rolled_back(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    _on_trial(redis)
    monkeypatch.setattr(policies, "write", lambda *_, **__: False)
    assert rollback.judge(redis, now=time.time() + 2) is None
