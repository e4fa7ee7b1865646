"""A mixed fleet: each job goes to a worker that can serve it, waits for one that could, or says why none can."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.host import Gate, Host, Work, registration, serving, transcribed
from support.ledger import contradictions, events, leftovers
from support.needs import missing
from support.processes import worker
from support.server import Server, redis_server, valkey
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.errors import (
    AsrqError,
    JobStateError,
    ModelMissingError,
    NotServedError,
    QueueFullError,
    UnsupportedOptionError,
)
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.backends.base import Capabilities
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.monitor.reaper import ReaperMonitor
from asrq_worker.monitor.registry import Metrics
from asrq_worker.reaper.reaper import Reaper, Round
from asrq_worker.routing.offers import Need, Offer, refusal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no server for this platform")

AUDIO = PathAudio(path="/audio/a.wav")
WHISPER = Offer(backend="whisper", model="base")
ENGLISH = Offer(
    backend="whisper",
    model="tiny.en",
    capabilities=Capabilities(languages=frozenset({"en"}), detects_language=False),
)
QWEN = Offer(backend="qwen", model="1.7b")
APART = keys.waiting("batch", "qwen")


@pytest.fixture(scope="module", params=[valkey, redis_server], ids=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Either server."""
    binary = request.param()
    if binary is None:
        missing(request.param.__name__)
    running = Server(binary, tmp_path_factory.mktemp("server"))
    with running:
        yield running


@pytest.fixture
def settings(server: Server) -> Settings:
    return Settings(redis_url=server.url, lease_s=3, retry_delay_s=0.05, reaper_interval_s=0.1, lanes="batch:2")


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(settings) as connected:
        connected.redis.flushall()
        yield connected


class Fleet:
    """Hosts on one queue, each of which says in its results who it is."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.settings = client.settings
        self.hosts: dict[str, Host] = {}

    @contextmanager
    def host(self, name: str, *offers: Offer, work: Work | None = None, slots: int = 2) -> Iterator[Host]:
        """Run a host that offers this until the block ends; then it is killed: it stays registered."""
        self.register(name, *offers)
        told = work or (lambda request, _control, _journal: transcribed(request, text=name))
        with serving(self._client.redis, self.settings, told, name=name, offers=offers, slots=slots) as host:
            self.hosts[name] = host
            yield host

    def register(self, name: str, *offers: Offer, state: str = "ready") -> None:
        self._client.redis.hset(keys.WORKERS, name, registration(self.settings, offers, state=state))

    def forget(self, name: str) -> None:
        self._client.redis.hdel(keys.WORKERS, name)

    def served(self, job_id: str) -> str:
        """The host that has served a job."""
        return self._client.wait(job_id, timeout_s=50).text or ""


@pytest.fixture
def fleet(client: Client) -> Fleet:
    return Fleet(client)


def passed_on(client: Client, job_id: str) -> list[str | None]:
    """What it was said to wait for, each time that it was passed on."""
    return [event.waits_for for event in events(client.redis, job_id) if event.waits_for]


def apart(client: Client, job_id: str, **fields: Any) -> None:
    """Submit a job for Qwen, and wait until somebody has passed it on."""
    client.submit(AUDIO, id=job_id, **{"backend": "qwen"} | fields)
    until(lambda: passed_on(client, job_id))
    until(lambda: client.redis.lpos(APART, job_id) is not None)


def look(client: Client, *, times: int = 2, later_s: float = 3.1, **options: Any) -> list[Round]:
    """Let a reaper look, and again after more than a lease."""
    now = time.time()
    reaper = Reaper(client.redis, client.settings, clock=lambda: now)
    reports = []
    for _ in range(times):
        reports.append(reaper.run_once(**options))
        now += later_s
    reaper.resign()
    return reports


def test_each_job_is_served_by_a_worker_that_can(client: Client, fleet: Fleet) -> None:
    """Either host takes it: all slots of both hosts take from the one lane at once."""
    asked: list[dict[str, Any]] = [
        {"backend": "qwen"}, {"backend": "whisper", "language": "en"}, {"model": "1.7b"}, {"language": "ru"},
        {"language": "en"}, {},
    ]  # fmt: skip
    right = {"0": {"gpu"}, "1": {"cpu"}, "2": {"gpu"}, "3": {"gpu"}, "4": {"cpu", "gpu"}, "5": {"gpu"}}
    ids = [f"{number}-{kind}" for number in range(20) for kind in range(len(asked))]
    with fleet.host("cpu", ENGLISH), fleet.host("gpu", QWEN):
        for job_id in ids:
            client.submit(AUDIO, id=job_id, **asked[int(job_id[-1])])
        served = {job_id: fleet.served(job_id) for job_id in ids}
    assert {job_id: name for job_id, name in served.items() if name not in right[job_id[-1]]} == {}
    moves = Counter(job_id for job_id in ids for _ in passed_on(client, job_id))
    assert set(moves.values()) <= {1}, "a job is passed on once, or not at all"
    assert [wrong for job_id in ids for wrong in contradictions(client, job_id)] == []
    assert all(len((client.result(job_id) or pytest.fail("none")).attempts) == 1 for job_id in ids)
    look(client)
    assert leftovers(client.redis) == []
    assert client.redis.smembers(keys.RQ_QUEUES) == {keys.queue("batch").encode()}, "what is empty is not shown"


def test_jobs_that_wait_apart_and_those_of_the_lane_take_turns(client: Client, fleet: Fleet) -> None:
    """By when they were enqueued, so that neither waits for the end of the other."""
    fleet.register("gpu", QWEN)
    ids = [f"{kind}{number}" for number in range(5) for kind in ("w", "q")]
    gate = Gate()
    with fleet.host("cpu", WHISPER, work=gate, slots=1):
        client.submit(AUDIO, id="first")
        gate.inside.wait(60)
        for job_id in ids:
            client.submit(AUDIO, id=job_id, **({"backend": "qwen"} if job_id[0] == "q" else {}))
        gate.open.set()
        for job_id in ids[::2]:
            client.wait(job_id, timeout_s=50)
    later = [f"{job_id}-later" for job_id in ids[::2]]
    for job_id in later:
        client.submit(AUDIO, id=job_id)
    with fleet.host("gpu", QWEN, slots=1) as host:
        for job_id in [*ids[1::2], *later]:
            assert fleet.served(job_id) == "gpu"
    assert host.scripted.runs == [*ids[1::2], *later]


def test_a_job_waits_while_its_worker_is_away_and_nobody_spins(client: Client, fleet: Fleet) -> None:
    fleet.register("gpu", QWEN)
    with fleet.host("cpu", WHISPER, slots=2):
        apart(client, "job")
        apart(client, "next")
        state = client.state("next")
        assert (state.status, state.position, state.waits_for, state.lane) == ("queued", 2, "qwen", "batch")
        assert [each.id for each in client.jobs("queued")] == ["job", "next"]
        assert keys.queue("batch").encode() in client.redis.smembers(keys.RQ_QUEUES)
        assert APART.encode() in client.redis.smembers(keys.RQ_QUEUES)
        before = client.redis.info("commandstats")
        time.sleep(2.5)
        after = client.redis.info("commandstats")
        moves = sum(
            after[name]["calls"] - before.get(name, {"calls": 0})["calls"]
            for name in ("cmdstat_evalsha", "cmdstat_blmove", "cmdstat_lmove", "cmdstat_lrem")
            if name in after
        )
        assert moves <= 2 * 5, "each slot looks at its lane once a second, and touches nothing else"
        assert look(client)[-1].returned == ()
        assert client.state("job").waits_for == "qwen"
    with fleet.host("gpu", QWEN):
        assert (fleet.served("job"), fleet.served("next")) == ("gpu", "gpu")
    assert [passed_on(client, job_id) for job_id in ("job", "next")] == [["qwen"], ["qwen"]]
    types = [event.type for event in events(client.redis, "job")]
    assert types == ["queued", "queued", "started", "completed"], "nothing looked like a start before"


def run_here(request: Request, _control: JobControl, _journal: Journal) -> Result:
    """What a pipeline says of a job that nobody can serve."""
    raise refusal(Need.of(request), [ENGLISH]) or AssertionError(request)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"backend": "qwen"}, NotServedError),
        ({"model": "large"}, NotServedError),
        ({"language": "ru"}, UnsupportedOptionError),
        ({"task": "translate", "language": "en"}, UnsupportedOptionError),
    ],
)
@pytest.mark.parametrize("others", ["none", "unable", "another lane", "itself"])
def test_what_no_registered_worker_can_serve_fails_at_once_and_says_why(
    client: Client, fleet: Fleet, fields: dict[str, str], error: type[AsrqError], others: str
) -> None:
    if others == "unable":
        fleet.register("cpu-2", ENGLISH)
    if others == "another lane":
        lanes = client.settings.model_copy(update={"lanes": "interactive:4"})
        anything = [Offer(backend="qwen", model="large"), Offer(backend="whisper", model="large")]
        client.redis.hset(keys.WORKERS, "gpu", registration(lanes, anything))
    with fleet.host("cpu", ENGLISH, work=run_here):
        if others == "itself":  # what it announced before it knew better
            fleet.register("cpu", WHISPER, QWEN, Offer(backend="whisper", model="large"))
        result = client.wait(client.submit(AUDIO, id="job", **fields).id, timeout_s=50)
    assert (result.status, result.error and result.error.code, len(result.attempts)) == ("failed", error.code, 1)
    assert result.error
    assert result.error.hint
    assert passed_on(client, "job") == []


def test_a_job_waits_for_a_worker_that_was_stopped_a_short_while_ago(client: Client, fleet: Fleet) -> None:
    fleet.register("gpu", QWEN, state="stopped")
    with fleet.host("cpu", ENGLISH, work=run_here):
        apart(client, "job")
        assert client.workers().keys() == {"cpu"}
        assert client.workers(stopped=True).keys() == {"cpu", "gpu"}
        reports = look(client, times=3, later_s=300.1)
        assert [report.workers for report in reports] == [(), (), ("gpu",)]
        until(lambda: look(client) and client.result("job"))
        result = client.wait("job", timeout_s=50)
    assert (result.status, result.error and result.error.code) == ("failed", "not_served")


def test_what_waits_for_nobody_any_more_goes_back_to_its_lane_in_order(client: Client, fleet: Fleet) -> None:
    fleet.register("gpu", QWEN)
    with fleet.host("cpu", WHISPER):
        for job_id in ("a", "b", "c"):
            apart(client, job_id)
    fleet.forget("gpu")
    client.submit(AUDIO, id="d")
    (report,) = look(client, times=1, dry_run=True)
    assert (report.returned, report.suspected) == ((), ("qwen",))
    assert [report.returned for report in look(client)] == [(), ("qwen",)]
    assert client.redis.lrange(keys.queue("batch"), 0, -1) == [b"d", b"a", b"b", b"c"]
    state = client.state("a")
    assert (state.position, state.waits_for) == (2, None)
    assert [report.returned for report in look(client)] == [(), ()]
    with fleet.host("gpu", QWEN):
        assert fleet.served("c") == "gpu"


def test_a_worker_that_turns_out_to_be_unable_hands_back_at_no_cost(client: Client, fleet: Fleet) -> None:
    """It has offered Qwen, which nobody had loaded; it cannot be. Another worker has it."""

    def cannot_load(request: Request, _control: JobControl, _journal: Journal) -> Result:
        error = ModelMissingError("Model '1.7b' is not on this machine.")
        host.scripted.offers = (WHISPER, QWEN.model_copy(update={"error": error.info()}))
        raise error

    with fleet.host("broken", WHISPER, QWEN, work=cannot_load, slots=1) as host:
        fleet.register("gpu", QWEN)
        client.submit(AUDIO, id="job", backend="qwen")
        until(lambda: client.redis.lpos(APART, "job") is not None)
        assert set(host.scripted.tried_anew) == {"qwen"}, "it may be fixed by now; the job does not wait for that"
        with fleet.host("gpu", QWEN):
            assert fleet.served("job") == "gpu"
    result = client.result("job")
    assert result is not None
    assert [(attempt.number, attempt.error) for attempt in result.attempts] == [(1, None)]
    types = [event.type for event in events(client.redis, "job")]
    assert types == ["queued", "started", "retrying", "queued", "started", "completed"]
    assert contradictions(client, "job") == []


def test_a_worker_that_turns_out_to_be_unable_fails_what_nobody_else_can_serve(client: Client, fleet: Fleet) -> None:
    def cannot_load(request: Request, _control: JobControl, _journal: Journal) -> Result:
        error = ModelMissingError("Model '1.7b' is not on this machine.", hint="Run: asrq models fetch 1.7b.")
        host.scripted.offers = (WHISPER, QWEN.model_copy(update={"error": error.info()}))
        raise error

    with fleet.host("broken", WHISPER, QWEN, work=cannot_load) as host:
        fleet.register("broken", *host.scripted.offers)
        fleet.register("cpu", WHISPER)
        for job_id in ("job", "next"):  # the second one when that is known
            result = client.wait(client.submit(AUDIO, id=job_id, backend="qwen").id, timeout_s=50)
            assert (result.status, result.error and result.error.code) == ("failed", "model_missing")
            assert passed_on(client, job_id) == []


def test_a_worker_that_becomes_able_takes_what_waits(client: Client, fleet: Fleet) -> None:
    fleet.register("gpu", QWEN)
    with fleet.host("cpu", WHISPER) as host:
        apart(client, "job")
        host.scripted.offers = (WHISPER, QWEN)
        assert fleet.served("job") == "cpu"


def test_what_waits_apart_is_canceled_retried_and_counted_like_any_other(client: Client, fleet: Fleet) -> None:
    fleet.register("gpu", QWEN)
    client.redis.hset(keys.LIMITS, "depth:batch", "2")
    with fleet.host("cpu", WHISPER):
        apart(client, "a")
        apart(client, "b")
        with pytest.raises(QueueFullError):
            client.submit(AUDIO, id="c")
        monitor = ReaperMonitor(Metrics(), client.redis, client.settings)
        monitor.looked(look(client)[-1])
        text = monitor.metrics.exposition().decode()
        monitor.close()
        assert 'asrq_lane_jobs{lane="batch",state="waiting"} 2.0' in text
        assert 'asrq_need_jobs{lane="batch",need="qwen"} 2.0' in text
        assert client.cancel("a") == "canceled"
        assert client.redis.lrange(APART, 0, -1) == [b"b"]
        client.retry("a")
        until(lambda: client.redis.lrange(APART, 0, -1) == [b"b", b"a"])
        assert client.cancel("a") == "canceled"
        with pytest.raises(JobStateError):
            client.cancel("a")
        assert client.cancel("b") == "canceled"
        look(client)
        assert APART.encode() not in client.redis.smembers(keys.RQ_QUEUES)


def test_what_waits_apart_for_too_long_expires(client: Client, fleet: Fleet) -> None:
    fleet.register("gpu", QWEN)
    with fleet.host("cpu", WHISPER):
        apart(client, "reaped", queue_ttl_s=60)
        apart(client, "taken", queue_ttl_s=60)
    long_ago = "2026-01-01T00:00:00.000000Z"
    client.redis.hset(keys.job("reaped"), "enqueued_at", long_ago)
    assert look(client, times=1)[0].expired == ("reaped",)
    client.redis.hset(keys.job("taken"), "enqueued_at", long_ago)
    with fleet.host("gpu", QWEN) as host:
        for job_id in ("reaped", "taken"):
            result = client.wait(job_id, timeout_s=50)
            assert (result.status, result.error and result.error.code) == ("failed", "expired")
    assert host.scripted.runs == []
    assert not client.redis.exists(APART)


def test_a_client_of_before_cancels_what_waits_apart(client: Client, fleet: Fleet) -> None:
    """Its script looks for the job in its lane only, and leaves a mark."""
    fleet.register("gpu", QWEN)
    with fleet.host("cpu", WHISPER):
        apart(client, "job")
    client.redis.set(keys.cancel("job"), "1", ex=600)
    with fleet.host("gpu", QWEN) as host:
        assert client.wait("job", timeout_s=50).status == "canceled"
    assert host.scripted.runs == []


RUINS: dict[str, Any] = {
    "the list is not registered": lambda redis: redis.srem(keys.RQ_QUEUES, APART),
    "the register is gone": lambda redis: redis.delete(keys.RQ_QUEUES),
    "the register is damaged": lambda redis: redis.set(keys.RQ_QUEUES, "x"),
    "the list is damaged": lambda redis: redis.set(APART, "x"),
    "the list is gone": lambda redis: redis.delete(APART),
    "the job is on no list": lambda redis: redis.lrem(APART, 0, "job"),
    "the job is on another's list": lambda redis: (
        redis.rpush(keys.waiting("batch", "onnx"), redis.lpop(APART)),
        redis.sadd(keys.RQ_QUEUES, keys.waiting("batch", "onnx")),
    ),
    "the job is on a list that means nothing": lambda redis: (
        redis.rpush(keys.waiting("batch", "=+="), redis.lpop(APART)),
        redis.sadd(keys.RQ_QUEUES, keys.waiting("batch", "=+="), b"rq:queue:asrq-batch@\xff"),
    ),
    "the job is in its lane as well": lambda redis: redis.rpush(keys.queue("batch"), "job"),
    "ghosts wait with it": lambda redis: redis.lpush(APART, "ghost", b"\xff"),
}


@pytest.mark.parametrize("ruin", RUINS)
def test_whatever_becomes_of_its_list_the_job_is_served_once(client: Client, fleet: Fleet, ruin: str) -> None:
    fleet.register("gpu", QWEN)
    with fleet.host("cpu", WHISPER):
        apart(client, "job")
        RUINS[ruin](client.redis)
        look(client, whole=True, times=3)
        with fleet.host("gpu", QWEN) as host:
            assert fleet.served("job") == "gpu"
            look(client, whole=True, times=3)
    assert host.scripted.runs == ["job"]
    assert contradictions(client, "job") == []
    left = [name for name in leftovers(client.redis) if "asrq:damaged" not in name]
    assert left == []


def test_a_job_that_was_passed_on_by_two_is_passed_on_once(client: Client, fleet: Fleet) -> None:
    """The reaper thought that the first slot had died, and put the id back."""
    fleet.register("gpu", QWEN)
    client.submit(AUDIO, id="job", backend="qwen")
    client.redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    client.redis.rpush(keys.queue("batch"), "job")
    with fleet.host("cpu", WHISPER, slots=1):
        until(lambda: client.redis.lpos(APART, "job") is not None)
    look(client, times=3)
    with fleet.host("gpu", QWEN) as host:
        assert fleet.served("job") == "gpu"
        until(lambda: not client.redis.exists(keys.queue("batch"), keys.intermediate("batch"), APART))
    assert host.scripted.runs == ["job"]


def test_under_load_nobody_takes_what_it_cannot_serve(client: Client, fleet: Fleet) -> None:
    """Three kinds of hosts, four slots each, and 300 jobs while workers come and go."""
    kinds = {"whisper": WHISPER, "qwen": QWEN, "onnx": Offer(backend="onnx", model="m")}
    wrong: list[str] = []
    ids = [f"{name}-{number}" for number in range(100) for name in kinds]

    def work(name: str) -> Work:
        def run(request: Request, _control: JobControl, _journal: Journal) -> Result:
            if request.backend != name:
                wrong.append(f"{request.id} on {name}")
            return transcribed(request, text=name)

        return run

    def submit() -> None:
        for job_id in ids:
            client.submit(AUDIO, id=job_id, backend=job_id.partition("-")[0])

    for name, offer in kinds.items():
        fleet.register(name, offer)
    submitting = threading.Thread(target=submit)
    submitting.start()
    for _ in range(3):
        with ExitStack() as hosts:
            for name, offer in kinds.items():
                hosts.enter_context(fleet.host(name, offer, work=work(name), slots=4))
            time.sleep(0.2)
    submitting.join(60)
    with ExitStack() as hosts:
        for name, offer in kinds.items():
            hosts.enter_context(fleet.host(name, offer, work=work(name), slots=4))
        served = {job_id: fleet.served(job_id) for job_id in ids}
    assert wrong == []
    assert all(job_id.startswith(name) for job_id, name in served.items())
    moves = [len(passed_on(client, job_id)) for job_id in ids]
    assert max(moves) <= 4, "once for each time that it came to the lane: at first, and when a worker stopped"
    assert sum(moves) <= len(ids) + 4 * 3 * 4
    look(client)
    assert leftovers(client.redis) == []


def test_a_slot_that_stops_gives_what_it_took_apart_back_to_its_lane(client: Client, fleet: Fleet) -> None:
    fleet.register("gpu", QWEN)
    with fleet.host("cpu", WHISPER, slots=1) as host:
        apart(client, "job")
        (slot,) = host.slots
        slot.loop.stop()
        assert slot.loop.join(60)
        host.scripted.offers = (QWEN,)
        until(lambda: slot._take() or client.redis.exists(keys.queue("batch")))
        assert client.redis.lrange(keys.queue("batch"), 0, -1) == [b"job"]


def test_what_is_suspended_is_not_taken(client: Client, fleet: Fleet) -> None:
    fleet.register("gpu", QWEN)
    with fleet.host("cpu", WHISPER):
        apart(client, "job")
    client.redis.set("rq:suspended", "1")
    with fleet.host("gpu", QWEN) as host:
        time.sleep(1.5)
        assert host.scripted.runs == []
        client.redis.delete("rq:suspended")
        assert fleet.served("job") == "gpu"


def test_two_real_workers_of_different_kinds(client: Client, settings: Settings, data: Path, tmp_path: Path) -> None:
    """One knows English only. The other is killed, started again, stopped, and started again."""
    blob, gate = client.upload(data / "hello-en.flac"), tmp_path / "gate"

    def submit(job_id: str, **fields: Any) -> str:
        return client.submit(blob, id=job_id, **fields).id

    def served(job_id: str) -> str | None:
        result = client.wait(job_id, timeout_s=120)
        assert result.status == "completed", result
        return result.backend

    url, options = settings.redis_url, {"lanes": "batch:2", "lease_s": 3}
    reaper = Reaper(client.redis, settings)
    reaper.start()
    try:
        with worker(url, model="english", **options) as english:
            alone = client.wait(submit("alone", language="ru"), timeout_s=120)
            assert (alone.status, alone.error and alone.error.code) == ("failed", "unsupported_option")
            with worker(url, backend="other", **options) as other:
                ids = [
                    submit(f"{language}-{number}", language=language)
                    for number in range(6)
                    for language in ("ru", "de")
                ]
                assert {served(job_id) for job_id in ids} == {"other"}
                assert served(submit("named", backend="fake", language="en")) == "fake"
                assert served(submit("other", backend="other")) == "other"
                assert served(submit("translated", task="translate", language="en")) == "other"
                busy = [submit(f"busy-{number}", language="ru", prompt=f"until:{gate}") for number in range(2)]
                until(lambda: [client.state(job_id).status for job_id in busy] == ["processing"] * 2)
                waits = [submit(f"waits-{number}", language="ru") for number in range(3)]
                until(lambda: [client.state(job_id).waits_for for job_id in waits] == ["language=ru"] * 3)
                assert sorted(client.state(job_id).position or 0 for job_id in waits) == [1, 2, 3]
                assert other.end(signal.SIGKILL) == -signal.SIGKILL
            gate.touch()
            until(lambda: all(client.state(job_id).waits_for for job_id in (*busy, *waits)))
            assert client.state(waits[0]).position in {1, 2, 3}
            with worker(url, backend="other", **options) as other:
                assert {served(job_id) for job_id in (*busy, *waits)} == {"other"}
                assert other.end() == 0
            late = submit("late", language="ru")
            until(lambda: client.state(late).waits_for)
            with worker(url, backend="other", **options):
                assert served(late) == "other"
            passed = [line for line in english.lines if line["event"] == "job.passed_on"]
            assert len(passed) == sum(
                len(passed_on(client, job_id)) for job_id in (*ids, *busy, *waits, late, "translated", "other")
            )
        everything = (*ids, *busy, *waits, late, "named", "other", "translated")
        assert [wrong for job_id in everything for wrong in contradictions(client, job_id)] == []
        until(lambda: leftovers(client.redis) == [])
    finally:
        reaper.close()
