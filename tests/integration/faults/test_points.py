"""A worker is killed, or paused past its lease, at every step of a job; another finishes it, and nothing is left."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from redis import Redis
from support.host import ANYTHING, registration, takes_all
from support.ledger import contradictions, events, leftovers
from support.processes import Process, all_gone, worker
from support.waiting import until

from asrq_jobs import BlobAudio, Client, keys
from asrq_jobs.connection import connect
from asrq_jobs.errors import LeaseLostError
from asrq_jobs.request import Request
from asrq_jobs.result import Result, WorkerInfo
from asrq_jobs.settings import Settings
from asrq_worker.audio.split import SAMPLE_RATE
from asrq_worker.job.attempt import Task
from asrq_worker.job.control import JobControl
from asrq_worker.job.transcriber import Transcriber
from asrq_worker.queue.faults import VARIABLE
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.queue.slot import Slot
from asrq_worker.queue.uploads import Uploads
from asrq_worker.reaper.reaper import Reaper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")

CHUNK_S = 5


@dataclass
class Rescuer:
    """The host that takes over: real decoders and a real engine, started once for all tests."""

    transcriber: Transcriber
    redis: Redis
    settings: Settings

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Take jobs until the block ends."""
        keeper = LeaseKeeper(self.redis, lease_s=self.settings.lease_s)
        task = Task(self.transcriber.pipeline, self.settings, WorkerInfo(name="rescuer", host="h", pid=1, version="0"))
        slot = Slot("batch", "rescuer.fake.batch.1", self.redis, task, keeper, takes_all(self.redis), self.settings)
        keeper.loop.start()
        slot.loop.start()
        try:
            yield
        finally:
            slot.loop.stop()
            assert slot.loop.join(60)
            keeper.loop.close()


class Nowhere:
    """A journal of a job that leaves no trace."""

    event = save = conclude = staticmethod(lambda *_: None)
    load = staticmethod(dict)


@pytest.fixture(scope="module")
def rescuer(_valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rescuer]:
    settings = Settings(
        redis_url=_valkey, backend="fake", model="m", fallback="none", decoders=1, chunk_s=CHUNK_S, lease_s=3,
        retry_delay_s=0.05, spool_dir=tmp_path_factory.mktemp("spool"),
    )  # fmt: skip
    with connect(settings) as redis, Transcriber(settings, uploads=Uploads(redis, settings)) as transcriber:
        transcriber.wait_ready()
        yield Rescuer(transcriber, redis, settings)


@pytest.fixture(scope="module")
def talk(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A talk of several chunks."""
    samples, rate = soundfile.read(data / "hello-en.flac", dtype="int16")
    assert rate == SAMPLE_RATE
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    soundfile.write(path, np.concatenate([samples, np.zeros(rate // 2, dtype=np.int16), samples]), rate)
    return path


@pytest.fixture
def blob(client: Client, talk: Path) -> BlobAudio:
    return client.upload(talk)


@pytest.fixture
def undisturbed(rescuer: Rescuer, blob: BlobAudio) -> Result:
    """What comes out when nobody is killed."""

    return rescuer.transcriber.pipeline.run(Request.build(id="x", audio=blob), JobControl(), Nowhere())


@contextmanager
def victim(url: str, point: str, monkeypatch: pytest.MonkeyPatch, **settings: object) -> Iterator[Process]:
    """A worker that is struck when it reaches the point."""
    monkeypatch.setenv(VARIABLE, point)
    with worker(url, lanes="batch:1", lease_s=3, chunk_s=CHUNK_S, grace_s=0, retry_delay_s=0.05, **settings) as process:
        monkeypatch.delenv(VARIABLE)
        yield process


def _reap(rescuer: Rescuer, *, later_s: float = 0.0) -> None:
    """Let a reaper see the queue now, and again when the leases that nobody renews have lapsed."""
    rescuer.redis.delete(keys.LEADER)
    now = time.time() + later_s
    reaper = Reaper(rescuer.redis, rescuer.settings, clock=lambda: now)
    reaper.run_once()
    now += rescuer.settings.lease_s + 0.01
    reaper.run_once()
    rescuer.redis.delete(keys.LEADER)


def test_killed_after_a_job_was_passed_on(
    client: Client, rescuer: Rescuer, blob: BlobAudio, undisturbed: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.redis.hset(keys.WORKERS, "rescuer", registration(rescuer.settings, ANYTHING))
    with victim(rescuer.settings.redis_url, "passed_on", monkeypatch, backend="other") as process:
        client.submit(blob, id="job", backend="fake")
        assert process.ended(120) == -signal.SIGKILL
    _reap(rescuer)
    state = client.state("job")
    assert (state.status, state.position, state.waits_for, state.attempt) == ("queued", 1, "fake", 0)
    with rescuer.serving():
        result = client.wait("job", timeout_s=50)
    assert (result.status, result.text, len(result.attempts)) == ("completed", undisturbed.text, 1)
    assert contradictions(client, "job") == []
    _reap(rescuer)
    assert leftovers(client.redis) == []


def _stopped(process: Process) -> bool:
    return psutil.Process(process.process.pid).status() == psutil.STATUS_STOPPED


@pytest.mark.parametrize(
    ("point", "attempts"),
    [
        ("dequeued", [None]),
        ("begun", ["worker_lost", None]),
        ("decoded", ["worker_lost", None]),
        ("chunk", ["worker_lost", None]),  # in the middle: others are still to come
        ("inference", ["worker_lost", None]),
        ("ending.completed", ["worker_lost", None]),
        ("ended.completed", [None]),
    ],
)
def test_killed_on_the_way_to_a_result(
    client: Client, rescuer: Rescuer, blob: BlobAudio, undisturbed: Result, monkeypatch: pytest.MonkeyPatch,
    point: str, attempts: list[str | None],
) -> None:  # fmt: skip
    with victim(rescuer.settings.redis_url, point, monkeypatch) as process:
        children = process.children()
        client.submit(blob, id="job")
        assert process.ended(120) == -signal.SIGKILL
        assert all_gone(children)
    _reap(rescuer)
    with rescuer.serving():
        result = client.wait("job", timeout_s=50)
    assert (result.status, result.text, result.segments) == ("completed", undisturbed.text, undisturbed.segments)
    assert len(undisturbed.segments or ()) > 1
    assert [a.error.code if a.error else None for a in result.attempts] == attempts
    assert contradictions(client, "job") == []
    assert leftovers(client.redis) == []


@pytest.mark.parametrize(
    ("point", "attempts"),
    [("ending.front", ["worker_lost", None]), ("ended.front", [None])],
)
def test_killed_while_it_hands_back_at_shutdown(
    client: Client, rescuer: Rescuer, blob: BlobAudio, undisturbed: Result, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path, point: str, attempts: list[str | None],
) -> None:  # fmt: skip
    begun, go = tmp_path / "begun", tmp_path / "go"
    with victim(rescuer.settings.redis_url, point, monkeypatch) as process:
        client.submit(blob, id="job", prompt=f"touch:{begun} until:{go}")
        until(begun.exists)
        assert process.end(signal.SIGTERM) == -signal.SIGKILL
    go.touch()
    _reap(rescuer)
    with rescuer.serving():
        result = client.wait("job", timeout_s=50)
    assert (result.status, result.text) == ("completed", undisturbed.text)
    assert [a.error.code if a.error else None for a in result.attempts] == attempts
    assert contradictions(client, "job") == []
    assert leftovers(client.redis) == []


@pytest.mark.parametrize(
    ("point", "attempts"),
    [("ending.retry", ["worker_lost", "inference_failed"]), ("ended.retry", ["inference_failed", "inference_failed"])],
)
def test_killed_while_it_plans_a_retry(
    client: Client, rescuer: Rescuer, blob: BlobAudio, monkeypatch: pytest.MonkeyPatch,
    point: str, attempts: list[str | None],
) -> None:  # fmt: skip
    with victim(rescuer.settings.redis_url, point, monkeypatch) as process:
        client.submit(blob, id="job", prompt="fail", retries=1)
        assert process.ended(120) == -signal.SIGKILL
    _reap(rescuer, later_s=1.0)
    with rescuer.serving():
        result = client.wait("job", timeout_s=50)
    assert result.status == "failed"
    assert [a.error.code if a.error else None for a in result.attempts] == attempts
    assert contradictions(client, "job") == []
    assert leftovers(client.redis) == []


@pytest.mark.parametrize("point", ["ending.canceled", "ended.canceled"])
def test_killed_while_it_cancels(
    client: Client, rescuer: Rescuer, blob: BlobAudio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, point: str
) -> None:
    begun = tmp_path / "begun"
    with victim(rescuer.settings.redis_url, point, monkeypatch) as process:
        client.submit(blob, id="job", prompt=f"touch:{begun} until:{tmp_path / 'never'}")
        until(begun.exists)
        assert client.cancel("job") == "requested"
        assert process.ended(120) == -signal.SIGKILL
    _reap(rescuer)
    with rescuer.serving():
        assert client.wait("job", timeout_s=50).status == "canceled"
    assert contradictions(client, "job") == []
    assert leftovers(client.redis) == []


@pytest.mark.parametrize("point", ["recovering", "recovered"])
def test_a_reaper_killed_while_it_recovers(
    client: Client, rescuer: Rescuer, blob: BlobAudio, undisturbed: Result, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    with victim(rescuer.settings.redis_url, "begun", monkeypatch) as process:
        client.submit(blob, id="job")
        assert process.ended(120) == -signal.SIGKILL
    client.redis.zadd(keys.LEASES, dict.fromkeys(client.redis.zrange(keys.LEASES, 0, -1), 1.0))
    monkeypatch.setenv(VARIABLE, point)
    struck = Process("reaper", env={"ASRQ_REDIS_URL": rescuer.settings.redis_url})
    assert struck.ended(120) == -signal.SIGKILL
    _reap(rescuer)
    with rescuer.serving():
        result = client.wait("job", timeout_s=50)
    assert (result.text, len(result.attempts)) == (undisturbed.text, 2)
    assert contradictions(client, "job") == []
    assert leftovers(client.redis) == []


@pytest.mark.parametrize("point", ["dequeued", "begun", "inference", "ending.completed"])
def test_paused_past_its_lease_it_is_fenced_and_serves_on(
    client: Client, rescuer: Rescuer, blob: BlobAudio, undisturbed: Result, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    with victim(rescuer.settings.redis_url, f"{point}:1:stop", monkeypatch) as process:
        client.submit(blob, id="job")
        until(lambda: _stopped(process))
        _reap(rescuer)
        with rescuer.serving():
            result = client.wait("job", timeout_s=50)
        assert (result.text, result.worker and result.worker.name) == (undisturbed.text, "rescuer")
        client.submit(blob, id="next")
        process.process.send_signal(signal.SIGCONT)
        if point == "dequeued":
            process.wait_for("job.not_begun")
        else:  # the lease keeper may be the first to notice
            until(lambda: {"commit.fenced", "job.abandoned"} & {line["event"] for line in process.lines})
        following = client.wait("next", timeout_s=50)
        assert (following.text, following.worker and following.worker.pid) == (undisturbed.text, process.process.pid)
        assert process.end() == 0
    assert client.result("job") == result, "the late worker changed nothing"
    assert [event.type for event in events(client.redis, "job")][-1] == "completed", "nor did it add an event"
    for job_id in ("job", "next"):
        assert contradictions(client, job_id) == []
    assert leftovers(client.redis) == []


def test_an_execution_that_lost_its_job_leaves_the_next_one_on_the_same_host_alone(
    rescuer: Rescuer, blob: BlobAudio, undisturbed: Result, tmp_path: Path
) -> None:
    """A host is suspended past its lease; awake, another of its slots takes the job before the first has noticed."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    request = Request.build(id="job", audio=blob, prompt=f"touch:{begun} until:{go}")
    late = JobControl()
    with ThreadPoolExecutor() as slots:
        first = slots.submit(rescuer.transcriber.pipeline.run, request, late, Nowhere())
        until(begun.exists)
        scheduler = rescuer.transcriber.fleet.enlist("fake").scheduler
        alone = len(scheduler._pending)
        second = slots.submit(rescuer.transcriber.pipeline.run, request, JobControl(), Nowhere())
        until(lambda: len(scheduler._pending) > alone)
        late.stop(LeaseLostError("Another execution has the job."))
        assert isinstance(first.exception(20), LeaseLostError)
        go.touch()
        assert second.result(120).text == undisturbed.text
