"""The reaper on a real Valkey: whatever was damaged is put right, and what is in order is left alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ReadOnlyError
from support.host import serving, transcribed
from support.ledger import contradictions, leftovers

from asrq_jobs import Client, keys
from asrq_jobs.request import PathAudio
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_worker.queue import expiry
from asrq_worker.queue.execution import Execution
from asrq_worker.reaper import reaper as reaping
from asrq_worker.reaper import scanner
from asrq_worker.reaper.reaper import Reaper, Round

AUDIO = PathAudio(path="/audio/a.wav")
LEASE_S = 3.0


class Rounds:
    """A reaper whose clock the test moves."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.now = time.time()
        self.reaper = Reaper(redis, settings, clock=lambda: self.now)

    def look(self, *, later_s: float = 0.0) -> Round:
        self.now += later_s
        return self.reaper.run_once()

    def look_twice(self) -> Round:
        """Return the second report; the first may only suspect."""
        self.look()
        return self.look(later_s=LEASE_S)


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=valkey_url, lease_s=LEASE_S, blob_ttl_s=1000)


@pytest.fixture
def rounds(redis: Redis, settings: Settings) -> Rounds:
    return Rounds(redis, settings)


def begin(redis: Redis, job_id: str, execution_id: str = "first") -> Execution:
    """Take a job as a slot does, and leave it alone."""
    redis.lrem(keys.queue("batch"), 1, job_id)
    redis.rpush(keys.intermediate("batch"), job_id)
    execution = Execution(job_id, execution_id, "batch", "host.fake.batch.1")
    assert execution.begin(redis, lease_s=LEASE_S).verdict == "started"
    return execution


def state_of(redis: Redis) -> dict[bytes, bytes | None]:
    """Everything in Redis but who leads."""
    return {name: redis.dump(name) for name in redis.scan_iter() if name != keys.LEADER.encode()}


def test_a_queue_in_order_is_left_alone(client: Client, redis: Redis, rounds: Rounds) -> None:
    for job_id in ("waits", "runs", "done"):
        client.submit(client.upload(job_id.encode()), id=job_id)
    begin(redis, "runs")
    client.cancel("done")
    before = state_of(redis)
    for _ in range(3):
        redis.zadd(keys.LEASES, dict.fromkeys(redis.zrange(keys.LEASES, 0, -1), rounds.now + 2 * LEASE_S))
        assert rounds.look(later_s=LEASE_S) == Round(leading=True)
    redis.zadd(keys.LEASES, {redis.zrange(keys.LEASES, 0, -1)[0]: 1.0})
    before.pop(keys.LEASES.encode())
    assert {name: value for name, value in state_of(redis).items() if name != keys.LEASES.encode()} == before


def test_a_job_on_no_list_goes_to_the_front(client: Client, redis: Redis, rounds: Rounds) -> None:
    for job_id in ("lost", "next"):
        client.submit(AUDIO, id=job_id)
    redis.lrem(keys.queue("batch"), 1, "lost")
    assert rounds.look().suspected == ("lost",)
    assert rounds.look(later_s=LEASE_S - 0.1).reconciled == ()
    assert rounds.look(later_s=0.1).reconciled == ("lost",)
    assert redis.lrange(keys.queue("batch"), 0, -1) == [b"lost", b"next"]
    assert rounds.look_twice() == Round(leading=True)


def test_a_job_that_was_only_on_its_way_is_not_touched(client: Client, redis: Redis, rounds: Rounds) -> None:
    client.submit(AUDIO, id="job")
    redis.lrem(keys.queue("batch"), 1, "job")
    assert rounds.look().suspected == ("job",)
    redis.rpush(keys.queue("batch"), "job")
    assert rounds.look(later_s=LEASE_S).suspected == ()
    redis.lrem(keys.queue("batch"), 1, "job")
    assert rounds.look(later_s=LEASE_S).reconciled == (), "what was seen before does not count"


def test_a_retry_that_is_on_no_list_becomes_due(client: Client, redis: Redis, rounds: Rounds) -> None:
    client.submit(AUDIO, id="job")
    redis.lrem(keys.queue("batch"), 1, "job")
    redis.hset(keys.job("job"), "status", "scheduled")
    assert rounds.look_twice().reconciled == ("job",)
    assert rounds.look(later_s=0.1).due == ("job",)
    assert client.state("job").position == 1


@pytest.mark.parametrize("rq_knows", [True, False])
def test_a_started_job_whose_lease_was_lost_is_recovered(
    client: Client, redis: Redis, settings: Settings, rounds: Rounds, rq_knows: bool
) -> None:
    client.submit(AUDIO, id="job")
    execution = begin(redis, "job")
    redis.delete(keys.LEASES)
    if not rq_knows:
        redis.delete(keys.rq_executions("job"), keys.registry("wip", "batch"), keys.rq_execution("job", "first"))
    assert rounds.look_twice().reconciled == ("job",)
    assert rounds.look(later_s=0.1).requeued == ("job",)
    redis.delete(keys.rq_worker_executions(execution.worker))  # RQ lets it lapse when a worker dies
    with serving(redis, settings, lambda request, control, journal: transcribed(request)):
        result = client.wait("job", timeout_s=120)
    assert [a.error.code if a.error else None for a in result.attempts] == ["worker_lost", None]
    assert contradictions(client, "job") == []
    assert leftovers(redis) == []


def test_an_id_without_a_job_leaves_its_lane(redis: Redis, rounds: Rounds) -> None:
    redis.rpush(keys.queue("interactive"), "ghost", "ghost")
    assert rounds.look_twice().reconciled == ("ghost",)
    assert redis.llen(keys.queue("interactive")) == 0


def test_what_is_left_of_a_job_that_is_gone_is_removed(client: Client, redis: Redis, rounds: Rounds) -> None:
    client.submit(AUDIO, id="job")
    redis.rpush(keys.attempts("job"), "{}")
    redis.hset(keys.chunks("job"), "0-1", "{}")
    redis.delete(keys.job("job"), keys.queue("batch"))
    assert rounds.look_twice().reconciled == ("job",)
    assert not redis.exists(keys.events("job"), keys.attempts("job"), keys.chunks("job"))
    assert rounds.look_twice() == Round(leading=True)


def test_the_history_of_a_result_is_kept_as_long_as_it_may(client: Client, redis: Redis, rounds: Rounds) -> None:
    client.submit(AUDIO, id="job")
    client.cancel("job")
    redis.delete(keys.job("job"))
    redis.persist(keys.events("job"))
    assert rounds.look_twice() == Round(leading=True)
    redis.delete(keys.result("job"))
    assert rounds.look_twice().reconciled == ("job",)
    assert not redis.exists(keys.events("job"))


def test_times_to_live_follow_the_status(client: Client, redis: Redis, settings: Settings, rounds: Rounds) -> None:
    for job_id in ("ended", "waits"):
        client.submit(AUDIO, id=job_id)
    client.cancel("ended")
    redis.rpush(keys.queue("batch"), "ended")
    for key in (keys.job("ended"), keys.events("ended")):
        redis.persist(key)
    redis.expire(keys.job("waits"), 100)
    assert rounds.look_twice().reconciled == ("ended", "waits")
    for key in (keys.job("ended"), keys.events("ended")):
        assert 0 < redis.ttl(key) <= settings.failure_ttl_s
    assert redis.ttl(keys.job("waits")) == -1
    assert redis.lrange(keys.queue("batch"), 0, -1) == [b"waits"]


def test_executions_that_nobody_holds_are_forgotten(client: Client, redis: Redis, rounds: Rounds) -> None:
    client.submit(AUDIO, id="runs")
    held = begin(redis, "runs")
    redis.zadd(keys.registry("wip", "batch"), {"runs:stale": 1e10, "gone:first": 1e10})
    redis.hset(keys.rq_execution("gone", "first"), "id", "first")
    redis.zadd(keys.LEASES, {held.lease: rounds.now + 100, "batch/runs/late": 1.0, "by hand": 1.0})
    assert sorted(rounds.look_twice().forgotten) == [
        "batch/gone/first", "batch/runs/late", "batch/runs/stale", "by hand"
    ]  # fmt: skip
    assert redis.zrange(keys.LEASES, 0, -1) == [held.lease.encode()]
    assert redis.zrange(keys.registry("wip", "batch"), 0, -1) == [b"runs:first"]
    assert not redis.exists(keys.rq_execution("gone", "first"))


def test_the_registration_of_a_dead_slot_is_forgotten(redis: Redis, rounds: Rounds) -> None:
    for name in ("dead.fake.batch.1", "live.fake.batch.1"):
        redis.sadd(keys.RQ_WORKERS, keys.rq_worker(name))
        redis.sadd(keys.rq_workers("batch"), keys.rq_worker(name))
    redis.hset(keys.rq_worker("live.fake.batch.1"), "state", "idle")
    assert rounds.look_twice().slots == ("dead.fake.batch.1",)
    for registered in (keys.RQ_WORKERS, keys.rq_workers("batch")):
        assert redis.smembers(registered) == {keys.rq_worker("live.fake.batch.1").encode()}


def test_an_upload_outlives_the_wait_for_it(client: Client, redis: Redis, rounds: Rounds) -> None:
    waited_for, lonely = client.upload(b"one"), client.upload(b"two")
    client.submit(waited_for, id="job")
    for blob in (waited_for, lonely):
        redis.expire(keys.blob(blob.sha256), 400)
    redis.set(keys.blob("0" * 64), b"forever")
    assert set(rounds.look().renewed) == {waited_for.sha256, "0" * 64}
    assert redis.ttl(keys.blob(waited_for.sha256)) > 900
    assert redis.ttl(keys.blob(lonely.sha256)) <= 400
    assert 0 < redis.ttl(keys.blob("0" * 64)) <= 1000
    assert rounds.look() == Round(leading=True)
    redis.expire(keys.uses(waited_for.sha256), 400)  # a client that uploads the same again keeps only the upload
    assert rounds.look().renewed == (waited_for.sha256,)
    assert redis.ttl(keys.uses(waited_for.sha256)) > 900


@pytest.mark.parametrize("status", ["started", "scheduled", "failed"])
def test_an_upload_is_kept_for_a_job_that_may_run_again(
    client: Client, redis: Redis, rounds: Rounds, status: str
) -> None:
    blob = client.upload(b"audio")
    client.submit(blob, id="job")
    execution = begin(redis, "job")
    if status == "started":
        redis.zadd(keys.LEASES, {execution.lease: rounds.now + 100})
    else:
        redis.delete(keys.LEASES, keys.registry("wip", "batch"))
        redis.hset(keys.job("job"), "status", status)
        redis.zadd(
            keys.registry("scheduled", "batch"), {"job": rounds.now + 100} if status == "scheduled" else {"x": 1e12}
        )
    redis.expire(keys.blob(blob.sha256), 400)  # it was submitted once more, and for that lives no longer than usual
    assert rounds.look().renewed == (blob.sha256,)
    assert redis.ttl(keys.blob(blob.sha256)) > 900


def test_jobs_of_other_programs_are_not_touched(redis: Redis, rounds: Rounds) -> None:
    redis.hset(keys.job("theirs"), mapping={"status": "started", "origin": "mail", "data": "x"})
    redis.hset(keys.job("odd"), mapping={"origin": "asrq-batch"})
    before = state_of(redis)
    assert rounds.look_twice() == Round(leading=True)
    assert state_of(redis) == before


def test_one_odd_key_does_not_keep_the_others_from_being_repaired(
    client: Client, redis: Redis, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.set(keys.job("odd"), "a string")
    redis.rpush(keys.intermediate("batch"), "odd")
    redis.zadd(keys.LEASES, {"batch/odd/first": 1.0})
    redis.zadd(keys.registry("scheduled", "batch"), {"odd": 1.0})
    client.submit(AUDIO, id="lost")
    redis.hset(keys.job("lost"), "meta", '{"queue_ttl_s": Infinity, "blob": 1}')
    redis.lrem(keys.queue("batch"), 1, "lost")
    client.submit(AUDIO, id="strange")
    redis.hset(keys.job("strange"), "meta", "[" * 100_000)
    first = rounds.look()
    assert (first.refused, first.due) == (("odd",), ())
    assert rounds.look(later_s=LEASE_S).reconciled == ("lost",)
    _is_malformed(client, "odd")

    def broken(*_: object, **__: object) -> bool:
        raise ZeroDivisionError

    redis.rpush(keys.queue("batch"), "ghost")
    rounds.look()
    monkeypatch.setattr(reaping, "repair", broken)
    assert rounds.look(later_s=LEASE_S).reconciled == ()
    monkeypatch.undo()
    assert rounds.look_twice().reconciled == ("ghost",)


@pytest.mark.parametrize("place", [keys.intermediate("batch"), keys.registry("scheduled", "batch")])
def test_a_job_with_a_key_of_the_wrong_type_ends(client: Client, redis: Redis, rounds: Rounds, place: str) -> None:
    redis.set(keys.job("odd"), "a string")
    if place == keys.intermediate("batch"):
        redis.rpush(place, "odd")
    else:
        redis.zadd(place, {"odd": 1.0})
    rounds.look_twice()
    _is_malformed(client, "odd")
    assert not redis.exists(place)


def _is_malformed(client: Client, job_id: str) -> None:
    result = client.result(job_id)
    assert result is not None
    assert result.error is not None
    assert result.error.code == "malformed_job"


def test_a_redis_that_takes_no_writes_ends_the_round(
    client: Client, redis: Redis, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.rpush(keys.queue("batch"), "ghost")
    rounds.look()

    def refused(*_: object, **__: object) -> bool:
        raise ReadOnlyError("READONLY")

    monkeypatch.setattr(reaping, "repair", refused)
    with pytest.raises(ReadOnlyError):
        rounds.look(later_s=LEASE_S)


def test_a_dry_run_changes_nothing_and_says_what_would_be_done(
    client: Client, redis: Redis, settings: Settings, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanner, "_STEP", 3)  # the whole is more than one part
    for job_id in ("dead", "exhausted", "broken", "deleted", "retry", "late"):
        client.submit(AUDIO, id=job_id, retries=0 if job_id == "exhausted" else 1, queue_ttl_s=1)
    for job_id in ("dead", "exhausted", "broken", "deleted"):
        redis.zadd(keys.LEASES, {begin(redis, job_id).lease: 1.0})
    redis.hset(keys.job("broken"), "data", "{")
    redis.delete(keys.job("deleted"))
    redis.lrem(keys.queue("batch"), 1, "retry")
    redis.hset(keys.job("retry"), "status", "scheduled")
    redis.zadd(keys.registry("scheduled", "batch"), {"retry": 1.0})
    redis.rpush(keys.queue("batch"), "ghost")
    before = state_of(redis)
    rounds.now += 2
    would = rounds.reaper.run_once(whole=True, dry_run=True)
    assert state_of(redis) == before
    assert not redis.exists(keys.LEADER)
    assert would == Round(
        leading=True,
        requeued=("dead",),
        failed=("exhausted",),
        refused=("broken",),
        forgotten=("deleted",),
        due=("retry",),
        expired=("late",),
        suspected=("ghost",),
    )
    did = Reaper(redis, settings, clock=lambda: rounds.now).run_once(whole=True)
    assert did == would


def test_a_long_queue_is_looked_through_a_part_at_a_time(
    client: Client, redis: Redis, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanner, "_STEP", 3)
    ids = {f"job-{number}" for number in range(10)}
    for job_id in sorted(ids):
        client.submit(AUDIO, id=job_id, queue_ttl_s=1)
    redis.rpush(keys.queue("interactive"), *(f"ghost-{number}" for number in range(10)))
    rounds.now += 2
    expired, dropped = set[str](), set[str]()
    for _ in range(40):
        report = rounds.look(later_s=LEASE_S)
        expired.update(report.expired)
        dropped.update(report.reconciled)
        assert len(report.expired) <= 20
    assert expired == ids
    assert dropped == {f"ghost-{number}" for number in range(10)}


def test_a_job_of_a_long_queue_that_is_on_no_list_is_found(
    client: Client, redis: Redis, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanner, "_STEP", 3)
    rounds = Rounds(redis, client.settings.model_copy(update={"lease_s": LEASE_S}))
    for number in range(30):
        client.submit(AUDIO, id=f"job-{number}")
    redis.lrem(keys.queue("batch"), 1, "job-7")
    fixed = [job_id for _ in range(100) for job_id in rounds.look(later_s=LEASE_S).reconciled]
    assert fixed == ["job-7"]
    assert redis.lpos(keys.queue("batch"), "job-7") == 0


def test_a_look_asks_and_hears_no_more_however_many_wait(redis: Redis, rounds: Rounds) -> None:
    lists = {
        keys.queue("interactive"): "interactive",
        keys.queue("batch"): "batch",
        keys.waiting("batch", "x"): "batch",
    }
    redis.sadd(keys.RQ_QUEUES, *lists)
    redis.hset(keys.WORKERS, "gpu", _serves_x())

    def cost_of_a_look(count: int) -> tuple[int, int]:
        """Commands and bytes of the answers, the most of some looks, with so many jobs waiting on each list."""
        pipe = redis.pipeline(transaction=False)
        for key, lane in lists.items():
            waiting = [f"{lane}-{len(key)}-{number:06}" for number in range(redis.llen(key), count)]
            for job_id in waiting:
                job = {"status": "queued", "origin": f"asrq-{lane}", "enqueued_at": iso(rounds.now), "meta": "{}"}
                pipe.hset(keys.job(job_id), mapping=job)
            pipe.rpush(key, *waiting)
        pipe.execute()
        costs = []
        for _ in range(8):
            redis.config_resetstat()
            assert rounds.look(later_s=2).suspected == ()
            stats = redis.info("stats")
            costs.append((stats["total_commands_processed"], stats["total_net_output_bytes"]))
        return max(commands for commands, _ in costs), max(size for _, size in costs)

    commands, size = cost_of_a_look(2000)
    more_commands, more_size = cost_of_a_look(20_000)
    assert more_commands < 1.5 * commands
    assert more_size < 1.5 * size


def _serves_x() -> str:
    return json.dumps(
        {"state": "ready", "at": time.time(), "lanes": "batch:1", "serves": [{"backend": "x", "model": "m"}]}
    )


IDS = ("a", "b", "c")


DAMAGE: dict[str, Callable[[Redis, str], object]] = {
    "off its list": lambda redis, job_id: redis.lrem(keys.queue("batch"), 0, job_id),
    "twice on its list": lambda redis, job_id: redis.rpush(keys.queue("batch"), job_id),
    "in transit": lambda redis, job_id: redis.rpush(keys.intermediate("batch"), job_id),
    "said to run": lambda redis, job_id: _say(redis, job_id, "started"),
    "said to wait": lambda redis, job_id: _say(redis, job_id, "queued"),
    "said to be scheduled": lambda redis, job_id: _say(redis, job_id, "scheduled"),
    "said to have failed": lambda redis, job_id: _say(redis, job_id, "failed"),
    "scheduled": lambda redis, job_id: redis.zadd(keys.registry("scheduled", "batch"), {job_id: 1.0}),
    "lapsed": lambda redis, job_id: redis.zadd(keys.LEASES, {f"batch/{job_id}/x": 1.0}),
    "registered": lambda redis, job_id: redis.zadd(keys.registry("wip", "batch"), {f"{job_id}:y": 1e10}),
    "deleted": lambda redis, job_id: redis.delete(keys.job(job_id)),
    "about to expire": lambda redis, job_id: redis.expire(keys.job(job_id), 1000),
    "eternal": lambda redis, job_id: redis.persist(keys.job(job_id)),
    "with checkpoints": lambda redis, job_id: redis.hset(keys.chunks(job_id), "0-1", "{}"),
    "without result": lambda redis, job_id: redis.delete(keys.result(job_id)),
}


def _say(redis: Redis, job_id: str, status: str) -> None:
    if redis.exists(keys.job(job_id)):
        redis.hset(keys.job(job_id), "status", status)


def unsound(redis: Redis) -> list[str]:
    """Jobs that nothing would ever take up again, and keys that would stay forever."""
    found = []
    waiting = redis.lrange(keys.queue("batch"), 0, -1)
    found += [f"{job_id!r} waits without a job" for job_id in waiting if not redis.exists(keys.job(job_id.decode()))]
    for job_id in IDS:
        status = (redis.hget(keys.job(job_id), "status") or b"").decode()
        if status == "queued" and job_id.encode() not in waiting:
            found.append(f"{job_id} is queued on no list")
        if status in {"started", "scheduled"}:
            found.append(f"{job_id} is still {status}")
        if status == "queued" and redis.ttl(keys.job(job_id)) != -1:
            found.append(f"{job_id} would expire while it waits")
        if status != "queued" and not redis.exists(keys.result(job_id)):
            traces = [key(job_id) for key in (keys.job, keys.events, keys.attempts, keys.chunks)]
            found += [f"{key} stays" for key in traces if redis.ttl(key) == -1]
    passing = [
        keys.LEASES,
        keys.intermediate("batch"),
        *(keys.registry(kind, "batch") for kind in ("scheduled", "wip")),
    ]
    return found + [f"{place} is not empty" for place in passing if redis.exists(place)]


@effort(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(sorted(DAMAGE)), st.sampled_from(IDS)), max_size=6))
def test_whatever_is_damaged_is_sound_again_in_the_end_and_stays_so(
    client: Client, redis: Redis, settings: Settings, damage: list[tuple[str, str]]
) -> None:
    redis.flushall()
    rounds = Rounds(redis, settings)
    for job_id in IDS:
        client.submit(AUDIO, id=job_id)
    for name, job_id in damage:
        DAMAGE[name](redis, job_id)
    for _ in range(8):
        rounds.look(later_s=LEASE_S)
    assert unsound(redis) == []
    before = state_of(redis)
    for _ in range(2):
        assert rounds.look(later_s=LEASE_S) == Round(leading=True)
    assert state_of(redis) == before


# Expiry


def _enqueued(redis: Redis, job_id: str, *, ago_s: float) -> None:
    redis.hset(keys.job(job_id), "enqueued_at", iso(time.time() - ago_s))


def test_a_job_that_nobody_took_in_time_has_expired(
    client: Client, redis: Redis, settings: Settings, rounds: Rounds
) -> None:
    blob = client.upload(b"audio")
    client.submit(blob, id="late", queue_ttl_s=60, task="translate")
    client.submit(AUDIO, id="patient", queue_ttl_s=600)
    rounds.now += 59
    assert rounds.look().expired == ()
    assert rounds.look(later_s=2).expired == ("late",)
    result = client.wait("late", timeout_s=120)
    assert result.error is not None
    assert (result.status, result.task) == ("failed", "translate")
    assert (result.error.code, result.error.retryable) == ("expired", True)
    assert "60 s" in result.error.message
    assert [event.type for event in client.events("late", timeout_s=60)] == ["queued", "failed"]
    assert redis.lrange(keys.queue("batch"), 0, -1) == [b"patient"]
    assert redis.zscore(keys.registry("failed", "batch"), "late") is not None
    assert 0 < redis.ttl(keys.job("late")) <= settings.failure_ttl_s
    assert redis.ttl(keys.blob(blob.sha256)) > settings.blob_ttl_s, "a retry by hand needs the upload"
    assert contradictions(client, "late") == []
    assert redis.hget(keys.STATS, "expired") == b"1"
    client.retry("late")
    rounds.now = time.time()
    assert rounds.look().expired == (), "it waits anew"
    assert client.state("late").status == "queued"


def test_a_job_that_comes_too_late_to_a_slot_is_not_run(client: Client, redis: Redis, settings: Settings) -> None:
    for job_id in ("late", "in-time"):
        client.submit(AUDIO, id=job_id, queue_ttl_s=60)
    _enqueued(redis, "late", ago_s=61)
    redis.set(keys.cancel("late"), "1")
    with serving(redis, settings, lambda request, control, journal: transcribed(request)) as host:
        assert client.wait("in-time", timeout_s=120).status == "completed"
        late = client.wait("late", timeout_s=120)
    assert late.error is not None
    assert (late.error.code, host.scripted.runs) == ("expired", ["in-time"])
    assert leftovers(redis) == []


def test_the_pause_before_a_retry_is_no_waiting_and_each_wait_counts_alone(
    client: Client, redis: Redis, rounds: Rounds
) -> None:
    client.submit(AUDIO, id="job", queue_ttl_s=60)
    execution = begin(redis, "job")
    redis.zadd(keys.LEASES, {execution.lease: 1.0})
    _enqueued(redis, "job", ago_s=100)
    assert rounds.look().requeued == ("job",)
    assert rounds.look().expired == ()
    redis.lrem(keys.queue("batch"), 1, "job")
    redis.hset(keys.job("job"), mapping={"status": "scheduled", "enqueued_at": iso(time.time() - 100)})
    redis.zadd(keys.registry("scheduled", "batch"), {"job": rounds.now + 50})
    assert rounds.look(later_s=1).expired == ()
    assert rounds.look(later_s=50).due == ("job",)
    redis.hset(keys.job("job"), "enqueued_at", iso(rounds.now))  # a script goes by Redis, these rounds are ahead of it
    assert rounds.look(later_s=59).expired == ()
    assert rounds.look(later_s=2).expired == ("job",)
    result = client.result("job")
    assert result is not None
    assert [attempt.error.code for attempt in result.attempts if attempt.error] == ["worker_lost"]


@pytest.mark.parametrize(
    ("damage", "code"), [({"data": "{"}, "malformed_job"), ({"success_callback_name": "os.getcwd"}, "foreign_function")]
)
def test_what_is_no_job_of_ours_is_refused_when_it_expires(
    client: Client, redis: Redis, rounds: Rounds, damage: dict[str, str], code: str
) -> None:
    client.submit(AUDIO, id="job", queue_ttl_s=60)
    for name, value in damage.items():
        redis.hset(keys.job("job"), name, value)
    rounds.look(later_s=61)
    result = client.result("job")
    assert result is not None
    assert result.error is not None
    assert result.error.code == code


def test_only_what_the_request_says_expires_a_job(client: Client, redis: Redis, rounds: Rounds) -> None:
    client.submit(AUDIO, id="job")
    redis.hset(keys.job("job"), "meta", json.dumps({"queue_ttl_s": 1}))
    assert rounds.look(later_s=100).expired == ()
    assert client.state("job").status == "queued"


def test_a_job_that_is_taken_after_the_look_runs(
    client: Client, redis: Redis, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.submit(AUDIO, id="job", queue_ttl_s=60)
    client.submit(AUDIO, id="gone", queue_ttl_s=60)
    expire = expiry.expire_waiting

    def taken_meanwhile(redis: Redis, job_id: str, lane: str, settings: Settings, *, now: float) -> bool:
        if job_id == "job":
            begin(redis, "job")
        else:
            redis.delete(keys.job("gone"))
        return expire(redis, job_id, lane, settings, now=now)

    monkeypatch.setattr(expiry, "expire_waiting", taken_meanwhile)
    assert rounds.look(later_s=61).expired == ()
    assert client.state("job").status == "processing"
