"""Slots on a real Valkey: what they take, what they refuse, how jobs end."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import Worker
from support.host import Gate, failing, serving, transcribed
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.connection import connect
from asrq_jobs.errors import AudioUnreadableError, EngineCrashedError, JobStateError
from asrq_jobs.events import Event
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.queue import calls
from asrq_worker.reaper.reaper import Reaper

AUDIO = PathAudio(path="/audio/a.wav")


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=valkey_url, retry_delay_s=0.05, lease_s=3)


def _done(request: Request, control: JobControl, journal: Journal) -> Result:
    return transcribed(request)


def _types(client: Client, job_id: str) -> list[str]:
    return [event.type for event in client.events(job_id, timeout_s=60)]


def test_a_job_is_taken_run_and_its_result_kept(client: Client, redis: Redis, settings: Settings) -> None:
    job = client.submit(AUDIO, id="one", language="en")
    with serving(redis, settings, _done) as host:
        result = client.wait("one", timeout_s=120)
    assert (result.status, result.text, result.worker and result.worker.name) == ("completed", "hello", "host")
    assert host.scripted.runs == [job.id]
    assert _types(client, "one") == ["queued", "started", "completed"]
    assert [(a.number, a.error) for a in result.attempts] == [(1, None)]
    assert result.timings.queue_wait_s is not None
    assert 0 <= result.timings.queue_wait_s < 60
    assert result.created_at is not None
    assert result.created_at <= (result.started_at or "") <= (result.completed_at or "")
    state = client.state("one")
    assert (state.status, state.attempt) == ("completed", 1)


def test_what_is_left_for_the_end_comes_with_it_and_only_with_a_good_one(
    client: Client, redis: Redis, settings: Settings
) -> None:
    sent: list[int] = []

    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        journal.event(Event(type="progress", at=0.0, stage="inference"))
        journal.conclude(Event(type="chunk", at=0.0, text="hello"), Event(type="progress", at=0.0, fraction=1.0))
        sent.append(redis.xlen(keys.events(request.id)))
        if len(sent) == 1:
            raise EngineCrashedError("Died.")
        if len(sent) == 3:  # something comes before the end after all
            journal.event(Event(type="progress", at=0.0, stage="inference"))
        return transcribed(request)

    reaper = Reaper(redis, settings.model_copy(update={"reaper_interval_s": 0.05}))
    reaper.start()
    try:
        with serving(redis, settings, work):
            for job_id in ("one", "two"):
                client.submit(AUDIO, id=job_id)
                client.wait(job_id, timeout_s=120)
    finally:
        reaper.close()
    failed, told = ["started", "progress"], ["started", "progress", "chunk", "progress"]
    assert _types(client, "one") == ["queued", *failed, "retrying", *told, "completed"]
    assert _types(client, "two") == ["queued", *told, "progress", "completed"]
    assert sent == [3, 6, 3], "one round trip less"
    last = list(client.events("one", timeout_s=60))[-3:]
    assert [(event.text, event.fraction) for event in last] == [("hello", None), (None, 1.0), (None, None)]
    assert 0 < last[0].at <= last[1].at <= last[2].at


def test_rq_sees_a_finished_job_with_a_pointer_to_the_result(client: Client, redis: Redis, settings: Settings) -> None:
    client.submit(AUDIO, id="one")
    with serving(redis, settings, _done):
        client.wait("one", timeout_s=120)
    job = Job.fetch("one", connection=redis, serializer=JSONSerializer)
    assert job.is_finished
    assert job.return_value() == {
        "result": "asrq:result:one", "language": "en", "audio_s": 2.0, "rtfx": 4.0, "backend": None, "model": None,
    }  # fmt: skip
    assert [entry.decode() for entry in redis.zrange(keys.registry("finished", "batch"), 0, -1)] == ["one"]
    for leftover in (keys.LEASES, keys.registry("wip", "batch"), keys.intermediate("batch"), keys.rq_executions("one")):
        assert not redis.exists(leftover), leftover
    assert 0 < redis.ttl(keys.job("one")) <= settings.result_ttl_s


def test_rq_sees_the_slot_as_a_worker_and_forgets_it_afterwards(redis: Redis, settings: Settings) -> None:
    with serving(redis, settings, _done) as host:
        until(lambda: Worker.all(connection=redis, serializer=JSONSerializer))
        worker = Worker.all(connection=redis, serializer=JSONSerializer)[0]
        assert (worker.name, worker.queue_names()) == (host.slots[0].name, ["asrq-batch"])
    assert Worker.all(connection=redis) == []


def test_a_slot_that_waits_is_not_taken_for_an_outage_however_short_the_limit_for_an_answer(
    client: Client, redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waited: list[float] = []
    dequeue = calls.dequeue

    def wait(redis: Redis, lane: str, *, within_s: float) -> Any:
        try:
            return dequeue(redis, lane, within_s=within_s)
        finally:
            waited.append(within_s)

    monkeypatch.setattr(calls, "dequeue", wait)
    hasty = settings.model_copy(update={"redis_timeout_s": 0.8})
    with connect(hasty) as impatient, serving(impatient, hasty, _done):
        until(lambda: len(waited) > 3)
        client.submit(AUDIO, id="one")
        assert client.wait("one", timeout_s=120).status == "completed"
    assert max(waited) < 0.8
    assert "unreachable" not in caplog.text


def test_bad_input_fails_once_with_its_code(client: Client, redis: Redis, settings: Settings) -> None:
    client.submit(AUDIO, id="bad")
    with serving(redis, settings, failing(AudioUnreadableError("Not audio."))) as host:
        result = client.wait("bad", timeout_s=120)
    assert result.status == "failed"
    assert result.error is not None
    assert (result.error.code, result.error.retryable, result.error.hint is not None) == (
        "audio_unreadable",
        False,
        True,
    )
    assert len(host.scripted.runs) == 1
    job = Job.fetch("bad", connection=redis, serializer=JSONSerializer)
    assert job.is_failed
    assert "audio_unreadable: Not audio." in (job.latest_result().exc_string or "")


def test_a_crash_is_retried_and_its_history_told(client: Client, redis: Redis, settings: Settings) -> None:
    client.submit(AUDIO, id="crashed")
    reaper = Reaper(redis, settings.model_copy(update={"reaper_interval_s": 0.05}))
    reaper.start()
    try:
        with serving(redis, settings, failing(EngineCrashedError("Died."), EngineCrashedError("Died."))):
            result = client.wait("crashed", timeout_s=50)
    finally:
        reaper.close()
    assert result.status == "completed"
    assert [a.error.code if a.error else None for a in result.attempts] == ["engine_crashed", "engine_crashed", None]
    assert _types(client, "crashed") == ["queued", "started", "retrying", "started", "retrying", "started", "completed"]


def test_a_job_retried_by_hand_gets_its_attempts_anew(client: Client, redis: Redis, settings: Settings) -> None:
    client.submit(AUDIO, id="again", retries=0)
    with serving(redis, settings, failing(EngineCrashedError("Died."))):
        assert client.wait("again", timeout_s=120).status == "failed"
        client.retry("again")
        result = client.wait("again", timeout_s=120)
        assert (result.status, len(result.attempts)) == ("completed", 2)
        with pytest.raises(JobStateError):
            client.retry("again")


def test_a_defect_of_ours_is_an_error_with_a_code_not_a_dead_slot(
    client: Client, redis: Redis, settings: Settings
) -> None:
    def broken(request: Request, control: JobControl, journal: Journal) -> Result:
        if request.id == "broken":
            raise ZeroDivisionError("secret /home/me/a.wav")
        return transcribed(request)

    client.submit(AUDIO, id="broken", retries=0)
    client.submit(AUDIO, id="next")
    with serving(redis, settings, broken):
        result = client.wait("broken", timeout_s=120)
        assert client.wait("next", timeout_s=120).status == "completed"
    assert result.error is not None
    assert result.error.code == "internal"
    assert "secret" not in result.to_json()


def test_cancel_while_it_waits(client: Client, redis: Redis, settings: Settings) -> None:
    client.submit(AUDIO, id="waits")
    assert client.cancel("waits") == "canceled"
    with serving(redis, settings, _done) as host:
        client.submit(AUDIO, id="other")
        client.wait("other", timeout_s=120)
    assert host.scripted.runs == ["other"]
    result = client.result("waits")
    assert result is not None
    assert result.status == "canceled"
    assert _types(client, "waits") == ["queued", "canceled"]


def test_cancel_while_it_runs_is_found_by_the_lease_keeper_alone(
    client: Client, redis: Redis, settings: Settings
) -> None:
    gate = Gate()
    client.submit(AUDIO, id="runs")
    with serving(redis, settings, gate):
        assert gate.inside.wait(60)
        assert client.cancel("runs") == "requested"
        assert client.wait("runs", timeout_s=120).status == "canceled"
    assert not redis.exists(keys.cancel("runs"))


def test_a_second_worker_cannot_start_or_commit_what_another_holds(
    client: Client, redis: Redis, settings: Settings
) -> None:
    """The first holder is paused past its lease, the reaper gives the job to a second, and then the first wakes."""
    gate = Gate()
    client.submit(AUDIO, id="late")
    with serving(redis, settings, gate, renew=False) as first:
        assert gate.inside.wait(60)
        for lease in redis.zrange(keys.LEASES, 0, -1):
            redis.zadd(keys.LEASES, {lease: time.time() - 1})
        report = Reaper(redis, settings).run_once()
        assert report.requeued == ("late",)
        first.slots[0].loop.stop()
        with serving(redis, settings, lambda r, c, j: transcribed(r, "from the second"), name="second"):
            assert client.wait("late", timeout_s=120).text == "from the second"
        gate.open.set()
    result = client.result("late")
    assert result is not None
    assert result.text == "from the second"
    assert _types(client, "late") == ["queued", "started", "retrying", "started", "completed"]
    assert [a.error.code if a.error else None for a in result.attempts] == ["worker_lost", None]


def test_a_lost_lease_stops_the_work(client: Client, redis: Redis, settings: Settings) -> None:
    stopped = threading.Event()

    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        assert control.wake.wait(60)
        stopped.set()
        control.check()
        raise AssertionError("check must raise")

    client.submit(AUDIO, id="lost")
    with serving(redis, settings, work) as host:
        until(host.keeper.held)
        redis.delete(keys.LEASES)
        assert stopped.wait(60)
    assert client.result("lost") is None


def _write_by_hand(redis: Redis, job_id: str, **fields: Any) -> None:
    request = {"schema": "asrq.request/1", "id": job_id, "lane": "batch", "audio": {"kind": "path", "path": "/a.wav"}}
    job = {
        "data": json.dumps([keys.FUNCTION, None, [request], {}]),
        "origin": "asrq-batch",
        "status": "queued",
        "created_at": "2026-01-01T00:00:00.000000Z",
        "enqueued_at": "2026-01-01T00:00:00.000000Z",
    } | fields
    redis.hset(keys.job(job_id), mapping=job)
    redis.rpush(keys.queue("batch"), job_id)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"data": json.dumps(["os.system", None, ["touch owned"], {}])}, "foreign_function"),
        ({"data": json.dumps([keys.FUNCTION, "builtins.object", [{}], {}])}, "foreign_function"),
        ({"success_callback_name": "os.getcwd"}, "foreign_function"),
        ({"failure_callback_name": "os.getcwd"}, "foreign_function"),
        ({"webhooks": '[{"url": "http://127.0.0.1:9/"}]'}, "foreign_function"),
        ({"data": "{"}, "malformed_job"),
        ({"data": b"\x80\x04\x95\x1c\x00\x00\x00\x00"}, "malformed_job"),
        ({"data": "[]"}, "malformed_job"),
        ({"data": "[" * 100_000}, "malformed_job"),
        ({"data": json.dumps([keys.FUNCTION, None, [], {}])}, "malformed_job"),
        ({"data": json.dumps([keys.FUNCTION, None, ["text"], {}])}, "invalid_request"),
        ({"created_at": "2026-01-01T00:00:00+00:00"}, "malformed_job"),
        ({"created_at": "1767225600"}, "malformed_job"),
        ({"timeout": "0.5"}, "malformed_job"),
        ({"timeout": "abc"}, "malformed_job"),
        ({"result_ttl": "1.5"}, "malformed_job"),
        ({"status": "bogus"}, "malformed_job"),
        ({"retries_left": "many"}, "malformed_job"),
        ({"ttl": "soon"}, "malformed_job"),
        ({"started_at": "yesterday"}, "malformed_job"),
        ({"retry_intervals": "[1"}, "malformed_job"),
    ],
)
def test_whatever_stands_in_a_hash_only_that_job_fails(
    client: Client, redis: Redis, settings: Settings, fields: dict[str, Any], code: str
) -> None:
    _write_by_hand(redis, "hand", **fields)
    client.submit(AUDIO, id="ours")
    with serving(redis, settings, _done) as host:
        assert client.wait("ours", timeout_s=120).status == "completed"
        result = client.wait("hand", timeout_s=120)
    assert host.scripted.runs == ["ours"]
    assert result.error is not None
    assert (result.status, result.error.code) == ("failed", code)
    assert result.error.hint
    # RQ's tools can read what is left.
    assert Job.fetch("hand", connection=redis, serializer=JSONSerializer).is_failed
    assert redis.zscore(keys.registry("failed", "batch"), "hand") is not None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"surprise": 1}, "invalid_request"),
        ({"language": "klingon"}, "unknown_language"),
        ({"id": "other"}, "invalid_request"),
        ({"lane": "interactive"}, "invalid_request"),
        ({"audio": {"kind": "carrier pigeon"}}, "invalid_request"),
    ],
)
def test_a_request_that_does_not_fit_fails_with_its_code(
    client: Client, redis: Redis, settings: Settings, change: dict[str, Any], code: str
) -> None:
    request = {"schema": "asrq.request/1", "id": "hand", "lane": "batch", "audio": {"kind": "path", "path": "/a.wav"}}
    _write_by_hand(redis, "hand", data=json.dumps([keys.FUNCTION, None, [request | change], {}]))
    with serving(redis, settings, _done) as host:
        result = client.wait("hand", timeout_s=120)
    assert host.scripted.runs == []
    assert result.error is not None
    assert result.error.code == code


def test_an_id_without_a_job_is_dropped(client: Client, redis: Redis, settings: Settings) -> None:
    redis.rpush(keys.queue("batch"), "ghost")
    client.submit(AUDIO, id="ours")
    with serving(redis, settings, _done):
        client.wait("ours", timeout_s=120)
    assert redis.llen(keys.intermediate("batch")) == 0


def test_a_job_dequeued_by_a_worker_that_died_comes_back(client: Client, redis: Redis, settings: Settings) -> None:
    client.submit(AUDIO, id="stuck")
    redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    now = time.time()
    reaper = Reaper(redis, settings, clock=lambda: now)
    assert reaper.run_once().recovered == ()
    now += settings.lease_s
    assert reaper.run_once().recovered == ("stuck",)
    with serving(redis, settings, _done):
        assert client.wait("stuck", timeout_s=120).status == "completed"


def test_a_job_whose_worker_dies_each_time_ends_as_failed(client: Client, redis: Redis, settings: Settings) -> None:
    client.submit(AUDIO, id="cursed", retries=1)
    reaper = Reaper(redis, settings)
    for requeued, failed in [(("cursed",), ()), ((), ("cursed",))]:
        gate = Gate()
        with serving(redis, settings, gate, renew=False):
            assert gate.inside.wait(60)
            for lease in redis.zrange(keys.LEASES, 0, -1):
                redis.zadd(keys.LEASES, {lease: time.time() - 1})
            report = reaper.run_once()
            gate.open.set()
        assert (report.requeued, report.failed) == (requeued, failed)
    result = client.wait("cursed", timeout_s=120)
    assert result.error is not None
    assert (result.status, result.error.code) == ("failed", "worker_lost")
    assert [a.error.code for a in result.attempts if a.error] == ["worker_lost", "worker_lost"]


def test_one_reaper_leads(redis: Redis, settings: Settings) -> None:
    first, second = Reaper(redis, settings), Reaper(redis, settings)
    assert first.run_once().leading
    assert not second.run_once().leading
    second.resign()
    assert first.run_once().leading
    first.resign()
    assert second.run_once().leading


def test_suspended_slots_take_nothing(client: Client, redis: Redis, settings: Settings) -> None:
    from rq.suspension import resume, suspend

    suspend(redis)
    client.submit(AUDIO, id="later")
    with serving(redis, settings, _done) as host:
        until(lambda: redis.hget(host.slots[0].key, "state") == b"suspended")
        assert client.state("later").status == "queued"
        resume(redis)
        assert client.wait("later", timeout_s=120).status == "completed"
