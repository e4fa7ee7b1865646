"""Shared keys with the wrong types: what the reaper, the leases, the scripts and the doctor make of it."""

from __future__ import annotations

import time

import pytest
from integration.security.damaging import damage, reaping
from redis import Redis
from redis.exceptions import ReadOnlyError, ResponseError
from support.host import serving, transcribed
from support.waiting import until

from asrq_jobs import Client, keys, policy
from asrq_jobs.errors import BlobMissingError, CanceledError, QueueFullError
from asrq_jobs.events import Event
from asrq_jobs.policy import Policy, Share
from asrq_jobs.request import BlobAudio, PathAudio
from asrq_worker.doctor import queue
from asrq_worker.doctor.check import Check
from asrq_worker.job.control import JobControl
from asrq_worker.job.ending import Ending, EndVerdict
from asrq_worker.queue import shared_keys
from asrq_worker.queue.execution import Execution
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.reaper import rollback
from asrq_worker.reaper.reaper import Reaper, Round
from asrq_worker.routing.policy import FEWEST, BackendOutcome

AUDIO = PathAudio(path="/audio/a.wav")


@pytest.mark.parametrize("left", [None, 10**9])
def test_nobody_leads_for_good_without_looking(redis: Redis, client: Client, left: int | None) -> None:
    redis.set(keys.LEADER, "nobody", ex=left)
    reaper = Reaper(redis, client.settings)
    assert not reaper.run_once().leading
    assert 0 < redis.ttl(keys.LEADER) <= 10
    redis.set(keys.LEADER, "another", px=5000)
    assert not reaper.run_once().leading
    assert redis.pttl(keys.LEADER) <= 5000, "a reaper that looks leads as long as it looks"


def test_a_reaper_moves_a_wrong_type_and_a_dry_run_only_says_so(redis: Redis, client: Client) -> None:
    redis.set(keys.LEADER, "another", px=10_000)
    for key in (keys.LEASES, keys.queue("batch"), keys.RQ_WORKERS, keys.WORKERS):
        damage(redis, key)
    damaged = (keys.LEASES, keys.WORKERS, keys.RQ_WORKERS, keys.queue("batch"))
    reaper = Reaper(redis, client.settings)
    assert reaper.run_once(dry_run=True) == Round(True, damaged=damaged)
    assert shared_keys.wrong_types(redis).keys() == set(damaged)
    assert reaper.run_once() == Round(leading=False, damaged=damaged), "whether it leads or not"
    assert shared_keys.wrong_types(redis) == {}
    assert set(shared_keys.left_aside(redis)) == set(map(keys.aside, damaged))


def test_a_wrong_type_during_a_round_does_not_end_it(
    redis: Redis, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in shared_keys.TYPES:
        if key not in {keys.LEADER, keys.queue("interactive")}:
            damage(redis, key)
    redis.rpush(keys.queue("interactive"), "ghost")
    monkeypatch.setattr(shared_keys, "set_aside", lambda _redis, _types: ())
    now = [time.time()]
    reaper = Reaper(redis, client.settings, clock=lambda: now[0])
    reaper.run_once()
    now[0] += client.settings.lease_s
    assert reaper.run_once().reconciled == ("ghost",)
    assert redis.llen(keys.queue("interactive")) == 0


def test_what_the_monitor_cannot_read_keeps_no_job_from_being_recovered(redis: Redis, client: Client) -> None:
    rounds: list[Round] = []

    def observe(report: Round) -> None:
        rounds.append(report)
        redis.lrange(keys.STATS, 0, -1)

    redis.hset(keys.STATS, "completed", 1)
    reaper = Reaper(redis, client.settings.model_copy(update={"reaper_interval_s": 0.05}), observe=observe)
    reaper.start()
    try:
        until(lambda: len(rounds) > 2)
        redis.zadd(keys.LEASES, {"batch/gone/first": 1.0})
        until(lambda: not redis.exists(keys.LEASES))
    finally:
        reaper.close()


def test_what_was_put_right_meanwhile_is_not_moved(
    redis: Redis, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_keys, "wrong_types", lambda _redis, _types: {keys.queue("batch"): "string"})
    client.submit(AUDIO, id="job")
    assert shared_keys.set_aside(redis) == ()
    assert redis.lrange(keys.queue("batch"), 0, -1) == [b"job"]


def test_a_reader_that_is_refused_ends_the_look(redis: Redis, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    reaper = Reaper(redis, client.settings)

    def refused(*_: object, **__: object) -> list[object]:
        return [ReadOnlyError("READONLY")] * 11

    pipeline = redis.pipeline(transaction=True)
    monkeypatch.setattr(type(pipeline), "execute", refused)
    with pytest.raises(ReadOnlyError):
        reaper._scanner.look((), now=0.0)


@pytest.mark.parametrize("verdict", ["retry", "front"])
def test_a_job_that_goes_on_and_finds_no_place_comes_back(redis: Redis, client: Client, verdict: EndVerdict) -> None:
    damaged = keys.registry("scheduled", "batch") if verdict == "retry" else keys.queue("batch")
    client.submit(AUDIO, id="job", retries=1)
    redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    execution = Execution("job", "first", "batch", "host.batch.1")
    assert execution.begin(redis, lease_s=3).verdict == "started"
    damage(redis, damaged)
    event = Event(type="retrying", at=time.time(), attempt=1, delay_s=0.0)
    assert execution.end(redis, Ending(verdict, event), audio=AUDIO, blob_ttl_s=60)
    with (
        reaping(redis, client.settings),
        serving(redis, client.settings, lambda request, control, journal: transcribed(request)),
    ):
        assert client.wait("job", timeout_s=50).status == "completed"


def test_limits_that_are_none_are_the_usual_ones(redis: Redis, client: Client) -> None:
    blob = client.upload(b"audio")
    for rubbish in ("", "x", "nan", "inf", "-1", "1e300", "\xff"):
        redis.hset(keys.LIMITS, mapping={"depth:batch": rubbish, "blob_ttl": rubbish})
        client.submit(blob)
        assert 86_000 < redis.ttl(keys.blob(blob.sha256)) <= 86_400
    redis.hset(keys.LIMITS, "depth:batch", 1)
    with pytest.raises(QueueFullError):
        client.submit(blob)
    with pytest.raises(BlobMissingError):
        client.submit(BlobAudio(sha256="0" * 64, bytes=1), lane="interactive")


def test_a_host_starts_where_all_types_are_wrong_and_serves_when_there_is_room(redis: Redis, client: Client) -> None:
    for key in shared_keys.TYPES:
        damage(redis, key)
    settings = client.settings.model_copy(update={"lease_s": 3.0})
    with serving(redis, settings, lambda request, control, journal: transcribed(request)) as host:
        until(lambda: redis.exists(keys.rq_worker(host.slots[0].name)))
        with reaping(redis, settings):
            until(lambda: not shared_keys.wrong_types(redis))
            client.submit(AUDIO, id="job")
            assert client.wait("job", timeout_s=50).status == "completed"
            until(lambda: redis.smembers(keys.RQ_WORKERS) == {keys.rq_worker(host.slots[0].name).encode()})
    assert redis.smembers(keys.RQ_WORKERS) == set()


def test_a_cancel_reaches_a_job_though_the_leases_have_the_wrong_type(redis: Redis, client: Client) -> None:
    client.submit(AUDIO, id="job")
    redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    execution = Execution("job", "first", "batch", "host.batch.1")
    assert execution.begin(redis, lease_s=3).verdict == "started"
    keeper, control = LeaseKeeper(redis, lease_s=3), JobControl()
    keeper.hold(execution, control)
    damage(redis, keys.LEASES)
    keeper.keep()
    control.check()  # nothing says that the lease is lost
    redis.set(keys.cancel("job"), 1)
    keeper.keep()
    with pytest.raises(CanceledError):
        control.check()


def test_a_trial_is_judged_though_its_outcomes_had_the_wrong_type(redis: Redis) -> None:
    assert policy.write(redis, None, Policy(backend="whisper", canary=Share(backend="qwen", share=0.5)), reason="test")
    key, now = keys.outcomes("qwen"), time.time() + 2
    redis.set(key, "rubbish")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        rollback.judge(redis, now=now, dry_run=True)
    assert rollback.judge(redis, now=now) is None
    redis.lpush(key, *(BackendOutcome(at=time.time() + 1, code="crashed").model_dump_json() for _ in range(FEWEST)))
    assert rollback.judge(redis, now=now) == "qwen"


def test_the_doctor_names_a_wrong_type_and_what_was_moved(redis: Redis, client: Client) -> None:
    def found() -> Check:
        (check,) = [check for check in queue.examine(client.settings) if check.name == "shared keys"]
        return check

    assert found().status == "ok"
    damage(redis, keys.LEASES)
    check = found()
    assert check.status == "fail"
    assert f"{keys.LEASES} (a string, not a zset)" in check.message
    assert f"redis-cli DEL {keys.LEASES}" in (check.fix or "")
    Reaper(redis, client.settings).run_once()
    check = found()
    assert check.status == "warn"
    assert keys.aside(keys.LEASES) in check.message
    redis.delete(keys.aside(keys.LEASES))
    assert found().status == "ok"
