"""What tests of applications are given behaves as what it stands for: the same steps in memory and on Valkey."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from asrq_jobs import AsyncClient, Client, PathAudio, Request, errors
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.testing import FakeAsyncClient, FakeClient, ScriptedWorker, Worker

ANY_AUDIO = PathAudio(path="/talk.mp3")


@pytest.fixture(params=["real", "fake"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of either kind."""
    if request.param == "fake":
        yield FakeClient(config=Settings())
        return
    with Client(Settings(redis_url=request.getfixturevalue("valkey_url"))) as real:
        yield real


@pytest.fixture
def worker(client: Client) -> Worker:
    """What begins and ends its jobs."""
    return client.worker if isinstance(client, FakeClient) else ScriptedWorker(client.redis)


@pytest.mark.parametrize(("real", "fake"), [(Client, FakeClient), (AsyncClient, FakeAsyncClient)])
def test_no_method_reaches_for_redis(real: type, fake: type) -> None:
    """Those that are not replaced are made of those that are."""
    made_of_others = {"submit", "submit_file", "submit_url", "live", "append"}
    made_of_others |= {"events"} if real is AsyncClient else set()
    methods = {name for name, _ in inspect.getmembers(real, inspect.isfunction) if not name.startswith("_")}
    replaced = {name for name in methods if getattr(fake, name) is not getattr(real, name)}
    assert methods - replaced == made_of_others
    for name in replaced:
        assert inspect.signature(getattr(fake, name)) == inspect.signature(getattr(real, name)), name


def test_a_job_from_its_submission_to_its_result(client: Client, worker: Worker) -> None:
    labels: dict[str, Any] = {"metadata": {"call": "7"}, "tags": ["sales"]}
    first = client.submit(ANY_AUDIO, id="mine", **labels)
    assert (first.id, first.status, first.created, first.depth) == ("mine", "queued", True, 1)
    again = client.submit(ANY_AUDIO, id="mine", **labels)
    assert (again.status, again.created, again.depth) == ("queued", False, None)
    with pytest.raises(errors.JobConflictError):
        client.submit(ANY_AUDIO, id="mine")
    client.submit(ANY_AUDIO, id="next")
    waits = client.state("next")
    assert (waits.status, waits.position, waits.lane, waits.attempt) == ("queued", 2, "batch", 0)
    execution = worker.take("batch", within_s=20)
    assert (execution.job_id, execution.request.metadata) == ("mine", {"call": "7"})
    worker.event(execution, Event(type="chunk", at=1.5, start=0.0, end=1.0, text="Call"))
    runs = client.state("mine")
    assert (runs.status, runs.attempt, runs.position, runs.tags) == ("processing", 1, None, ("sales",))
    assert client.result("mine") is None
    worker.complete(execution, "Call Anna.", language="en")
    assert [event.type for event in client.events("mine")] == ["queued", "started", "chunk", "completed"]
    assert [event.type for event in client.events("mine", after="0")][-1] == "completed"
    result = client.wait("mine")
    assert (result.status, result.text, result.language) == ("completed", "Call Anna.", "en")
    assert (result.metadata, result.tags, len(result.attempts)) == ({"call": "7"}, ("sales",), 1)
    assert client.result("mine") == result
    done = client.state("mine")
    assert (done.status, done.error) == ("completed", None)
    with pytest.raises(errors.JobStateError):
        client.cancel("mine")
    with pytest.raises(errors.JobStateError):
        client.retry("mine")
    assert [state.id for state in client.jobs("queued")] == ["next"]
    assert [state.id for state in client.jobs(tag="sales")] == ["mine"]


def test_one_that_fails_and_is_tried_again(client: Client, worker: Worker) -> None:
    for name in ("first", "second"):
        client.submit(ANY_AUDIO, id=name, lane="interactive")
        worker.fail(worker.take(within_s=20), errors.AudioUnreadableError("Not audio."))
    failed = client.wait("second")
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("failed", "audio_unreadable")
    assert [letter.id for letter in client.dead_letters()] == ["second", "first"]
    assert client.dead_letters(code="no_room") == client.dead_letters(older_than_s=3600) == []
    assert [letter.id for letter in client.dead_letters(most=1)] == ["second"]
    client.retry("second")
    with pytest.raises(errors.JobStateError):
        client.dead_letter("second")
    worker.complete(worker.take(within_s=20), "after all")
    done = client.wait("second")
    assert (done.text, [attempt.number for attempt in done.attempts]) == ("after all", [1, 2])
    assert client.dead_letter("first").attempts[0].error is not None
    client.purge("first")
    with pytest.raises(errors.JobNotFoundError):
        client.state("first")
    with pytest.raises(errors.JobStateError):
        client.purge("second")


def test_one_that_is_canceled(client: Client, worker: Worker) -> None:
    client.submit(ANY_AUDIO, id="waits")
    assert client.cancel("waits") == "canceled"
    assert client.wait("waits").status == "canceled"
    assert [event.type for event in client.events("waits")] == ["queued", "canceled"]
    client.submit(ANY_AUDIO, id="runs")
    execution = worker.take("batch", within_s=20)
    assert client.cancel("runs") == "requested"
    worker.cancel(execution)
    assert client.wait("runs").status == "canceled"
    with pytest.raises(errors.JobStateError):
        worker.complete(execution, "too late")


def test_what_is_not_there(client: Client, worker: Worker) -> None:
    for act in (client.state, client.wait, client.cancel, client.retry, client.erase, client.purge, client.dead_letter):
        with pytest.raises(errors.JobNotFoundError):
            act("nobody")
    with pytest.raises(errors.JobNotFoundError):
        list(client.events("nobody"))
    assert client.result("nobody") is None
    client.submit(ANY_AUDIO, id="waits", lane="batch")
    with pytest.raises(errors.WaitTimeoutError):
        client.wait("waits", timeout_s=0.05)
    with pytest.raises(errors.WaitTimeoutError):
        list(client.events("waits", timeout_s=0.05))
    with pytest.raises(errors.WaitTimeoutError, match="lane"):
        worker.take("interactive", within_s=0.05)
    assert (client.workers(), client.reaper(), client.command("load", "fake")) == ({}, False, 0)


def test_an_upload_and_an_erasure(client: Client) -> None:
    blob = client.upload(b"sound", name="memo.ogg")
    client.submit(blob, id="mine")
    client.erase("mine")
    with pytest.raises(errors.JobNotFoundError):
        client.state("mine")
    with pytest.raises(errors.BlobMissingError):
        client.submit(blob, id="again")
    with pytest.raises(errors.InvalidRequestError):
        client.submit(ANY_AUDIO, nonsense=1)


def test_many_at_once(client: Client) -> None:
    requests = [
        Request.build(id=name, audio=ANY_AUDIO, language=code) for name, code in [("a", "en"), ("a", "ru"), ("b", "en")]
    ]
    first, refused, last = client.submit_many(requests)
    assert isinstance(refused, errors.JobConflictError)
    assert not isinstance(first, errors.AsrqError)
    assert not isinstance(last, errors.AsrqError)
    assert (first.depth, last.depth) == (1, 2)
    assert [state.id for state in client.jobs(most=1, after="a")] == ["b"]


def test_a_group(client: Client, worker: Worker) -> None:
    group, named = client.group("night"), {"group": {"id": "night", "size": 4}}
    with pytest.raises(errors.JobNotFoundError, match="No group night"):
        group.state()
    for job_id in ("a", "b", "c", "d", "a"):
        client.submit(ANY_AUDIO, id=job_id, **named)
    with pytest.raises(errors.JobConflictError, match="has all of its 4 jobs"):
        client.submit(ANY_AUDIO, id="e", **named)
    with pytest.raises(errors.JobConflictError, match="another size or webhook"):
        client.submit(ANY_AUDIO, id="e", group={"id": "night", "size": 5})
    worker.complete(worker.take("batch", within_s=20), "hello")
    worker.fail(worker.take("batch", within_s=20), errors.AudioUnreadableError("Not audio."))
    client.retry("b")
    client.erase("a")
    client.erase("c")
    client.cancel("d")
    with pytest.raises(errors.WaitTimeoutError):
        group.wait(timeout_s=0.1)
    client.cancel("b")
    assert [(event.type, event.job, event.status, event.open) for event in group.events()] == [
        ("progress", "a", "completed", 3),
        ("progress", "b", "failed", 2),
        ("progress", "c", "canceled", 2),
        ("progress", "d", "canceled", 1),
        ("ended", "b", "canceled", 0),
    ]
    known = group.wait()
    assert (known.size, known.open, known.completed, known.failed, known.canceled) == (4, 0, 1, 0, 3)
    assert group.jobs() == {"a": "completed", "b": "canceled", "c": "canceled", "d": "canceled"}


def test_a_group_in_memory_for_asyncio() -> None:
    async def use() -> tuple[bool, list[str]]:
        client = FakeAsyncClient(config=Settings())
        await client.submit(ANY_AUDIO, id="a", group={"id": "night", "size": 1})
        following = asyncio.create_task(client.group("night").wait())
        await asyncio.sleep(0)
        await client.cancel("a")
        return (await following).ended, list(await client.group("night").jobs())

    assert asyncio.run(use()) == (True, ["a"])


def test_a_live_job(client: Client, worker: Worker) -> None:
    live = client.live(id="talk", language="en")
    live.append(bytes(3200))
    live.append(b"\1")
    resumed = client.live(id="talk", language="en")
    assert resumed.last == live.last == 1
    live.append(b"\2")
    live.end()
    with pytest.raises(errors.JobStateError):
        live.append(b"\0\0")
    execution = worker.take(within_s=20)
    worker.complete(execution, "said")
    assert live.wait().text == "said"
    with pytest.raises(errors.JobStateError):
        resumed.append(bytes(2))
    if isinstance(client, FakeClient):
        assert client.sound("talk") == bytes(3200) + b"\1\2"


def test_frames_that_are_handed_on_for_others(client: Client, worker: Worker) -> None:
    client.live(id="talk", language="en")
    assert [client.append("talk", number, "audio", bytes(2)) for number in (1, 2, 2, 4, 0)] == [1, 2, 2, 2, 2]
    assert client.append("talk", 3, "end", b"") == 3
    with pytest.raises(errors.JobStateError):
        client.append("talk", 3, "audio", bytes(2))
    with pytest.raises(errors.JobStateError):
        client.append("talk", 4, "audio", bytes(2))
    worker.complete(worker.take(within_s=20), "said")


def test_a_worker_that_answers_all(client: Client, worker: Worker) -> None:
    def answer(request: Request) -> str | Result:
        if request.lane == "batch":
            raise errors.NoAudioStreamError("A silent film.")
        return Result(id="", status="completed", text=request.id, language="ru")

    with worker.serving(answer):
        client.submit(ANY_AUDIO, id="clip", lane="interactive")
        client.submit(ANY_AUDIO, id="film")
        clip, film = client.wait("clip", timeout_s=120), client.wait("film", timeout_s=120)
    assert (clip.id, clip.text, clip.language) == ("clip", "clip", "ru")
    assert film.error is not None
    assert film.error.code == "no_audio_stream"


def test_a_defect_of_the_answer_is_the_tests(client: Client, worker: Worker) -> None:
    def answer(request: Request) -> str:
        raise ZeroDivisionError

    client.submit(ANY_AUDIO, id="mine")
    with pytest.raises(ZeroDivisionError), worker.serving(answer):
        failed = client.wait("mine", timeout_s=120)
    assert failed.error is not None
    assert failed.error.code == "internal"
