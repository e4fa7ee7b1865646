"""What the Python clients promise, the waiting one and the one for asyncio alike, on a real Valkey."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis
from support.relay import Relay
from support.waiting import soon

from asrq_jobs import AsyncClient, Client, errors, keys
from asrq_jobs.errors import AsrqError
from asrq_jobs.events import Event
from asrq_jobs.request import PathAudio, Request, UrlAudio
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker

ANY_AUDIO = PathAudio(path="/talk.mp3")
_METHODS = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}


class _Awaited:
    """An `AsyncClient` with the methods of `Client`: each is awaited on an event loop of this thread."""

    def __init__(self, config: Settings) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(config)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            started = method(*arguments, **options)
            return self._each(started) if inspect.isasyncgen(started) else self._runner.run(started)

        return call

    def _each(self, events: AsyncIterator[Event]) -> Iterator[Event]:
        async def following() -> Event | None:
            return await anext(events, None)

        while (event := self._runner.run(following())) is not None:
            yield event

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


Connect = Callable[..., Client]


@pytest.fixture(params=[Client, _Awaited], ids=["sync", "asyncio"])
def connect(request: pytest.FixtureRequest, valkey_url: str) -> Iterator[Connect]:
    """Makes clients with other settings than the usual."""
    made: list[Any] = []

    def client(**settings: Any) -> Client:
        made.append(request.param(Settings(**{"redis_url": valkey_url, **settings})))
        return cast("Client", made[-1])

    yield client
    for each in made:
        each.close()


@pytest.fixture
def client(connect: Connect) -> Client:
    return connect()


@pytest.fixture
def worker(redis: Redis) -> ScriptedWorker:
    return ScriptedWorker(redis)


def raises(error: type[AsrqError]) -> Any:
    return pytest.raises(error, match=r".")  # a message, too


def test_both_have_the_same_methods_with_the_same_signatures() -> None:
    for name in _METHODS:
        ours, other = inspect.signature(getattr(Client, name)), inspect.signature(getattr(AsyncClient, name))
        assert ours.parameters == other.parameters, name
        expected = re.sub(r"\b(Iterator|Live|Group)\b", r"Async\1", str(ours.return_annotation))
        assert other.return_annotation == expected, name


def test_upload_from_bytes_and_files_is_stored_once(client: Client, redis: Redis, tmp_path: Path) -> None:
    path = tmp_path / "Речь.ogg"
    path.write_bytes(b"sound")
    blob = client.upload(path)
    assert (blob.name, blob.bytes) == ("Речь.ogg", 5)
    key = keys.blob(blob.sha256)
    assert redis.get(key) == b"sound"
    redis.expire(key, 10)
    again = client.upload(b"sound", name="other")
    assert (again.sha256, again.name) == (blob.sha256, "other")
    assert cast("int", redis.ttl(key)) > 10


def test_what_cannot_be_sent(connect: Connect, redis: Redis, tmp_path: Path) -> None:
    client = connect(max_audio_mb=1)
    (tmp_path / "large.wav").write_bytes(bytes(2**20 + 1))
    with raises(errors.AudioTooLargeError):
        client.upload(tmp_path / "large.wav")
    with raises(errors.AudioTooLargeError):
        client.upload(bytes(2**20 + 1))
    with raises(errors.AudioEmptyError):
        client.upload(b"")
    with raises(errors.AudioNotFoundError):
        client.submit_file(tmp_path / "missing.wav")
    with raises(errors.AudioUnreadableError):
        client.submit_file(tmp_path)
    assert redis.dbsize() == 0


def test_submission_is_idempotent(client: Client, redis: Redis) -> None:
    first = client.submit(ANY_AUDIO, id="mine", language="ru", lane="interactive")
    assert (first.id, first.status, first.created, first.depth) == ("mine", "queued", True, 1)
    second = client.submit(ANY_AUDIO, id="mine", language="ru", lane="interactive")
    assert (second.status, second.created, second.depth) == ("queued", False, None)
    assert redis.llen(keys.queue("interactive")) == 1
    with raises(errors.JobConflictError):
        client.submit(ANY_AUDIO, id="mine")
    request = Request.build(id="built", audio=UrlAudio(url="https://host/a.mp3"))
    assert client.submit_request(request).id == "built"
    assert len(client.submit_url("https://host/a.mp3").id) == 32


def test_refusals(client: Client, redis: Redis, tmp_path: Path) -> None:
    with raises(errors.InvalidRequestError):
        client.submit(ANY_AUDIO, tempo="fast")
    with raises(errors.UnknownLanguageError):
        client.submit(ANY_AUDIO, language="klingon")
    blob = client.upload(b"sound")
    redis.delete(keys.blob(blob.sha256))
    with raises(errors.BlobMissingError):
        client.submit(blob)
    redis.hset(keys.LIMITS, "depth:batch", 0)
    (tmp_path / "a.wav").write_bytes(b"sound")
    with raises(errors.QueueFullError) as full:
        client.submit_file(tmp_path / "a.wav")
    assert full.value.retryable
    assert full.value.hint


def test_a_job_from_submission_to_its_result(client: Client, worker: ScriptedWorker) -> None:
    job = client.submit(client.upload(b"sound"), lane="interactive")
    assert client.result(job.id) is None
    waiting = client.state(job.id)
    assert (waiting.status, waiting.lane, waiting.position, waiting.attempt) == ("queued", "interactive", 1, 0)
    execution = worker.take()
    running = client.state(job.id)
    assert (running.status, running.position, running.attempt) == ("processing", None, 1)
    assert running.started_at
    worker.event(execution, Event(type="chunk", at=time.time(), start=0, end=1, text="Привет"))
    worker.complete(execution, "Привет, мир.")
    events = list(client.events(job.id))
    assert [event.type for event in events] == ["queued", "started", "chunk", "completed"]
    assert events[2].text == "Привет"
    result = client.wait(job.id)
    assert result == client.result(job.id)
    assert (result.status, result.text) == ("completed", "Привет, мир.")
    ended = client.state(job.id)
    assert (ended.status, ended.error) == ("completed", None)


def test_following_begins_where_one_says(client: Client, worker: ScriptedWorker, redis: Redis) -> None:
    job = client.submit(ANY_AUDIO, lane="interactive")
    worker.complete(worker.take(), "done")
    seen = cast("list[Any]", redis.xrange(keys.events(job.id)))[1][0].decode()
    assert [event.type for event in client.events(job.id, after=seen)] == ["completed"]


def test_events_come_while_one_waits(client: Client, worker: ScriptedWorker) -> None:
    job = client.submit(ANY_AUDIO, lane="interactive")
    events = client.events(job.id, timeout_s=20)
    assert next(events).type == "queued"
    execution = worker.take()
    assert next(events).type == "started"
    with soon(lambda: worker.fail(execution, errors.AudioUnreadableError("A text file."))):
        assert [event.type for event in events] == ["failed"]
    result = client.wait(job.id)
    assert result.status == "failed"
    assert result.error is not None
    assert (result.error.code, result.error.message) == ("audio_unreadable", "A text file.")
    assert client.state(job.id).error == result.error


def test_a_job_retried_before_its_end_was_read_goes_on(client: Client, worker: ScriptedWorker, redis: Redis) -> None:
    job = client.submit(ANY_AUDIO, lane="interactive")
    execution = worker.take()
    for kind in ("failed", "queued"):
        redis.xadd(keys.events(job.id), {"event": json.dumps({"type": kind, "at": 0})})
    with soon(lambda: worker.complete(execution, "second round")):
        assert client.wait(job.id, timeout_s=50).text == "second round"


def test_waiting_has_a_limit_and_does_no_harm(client: Client) -> None:
    job = client.submit(ANY_AUDIO)
    with raises(errors.WaitTimeoutError):
        client.wait(job.id, timeout_s=0.2)
    with raises(errors.WaitTimeoutError):
        list(client.events(job.id, timeout_s=0.1))
    assert client.state(job.id).status == "queued"


def test_nobody(connect: Connect) -> None:
    client = connect(redis_timeout_s=0.4)  # asks sooner whether the job is there at all
    for ask in (client.state, client.wait, client.cancel, client.retry, lambda name: list(client.events(name))):
        with raises(errors.JobNotFoundError):
            ask("nobody")
    assert client.result("nobody") is None


def test_cancel_and_retry(client: Client, worker: ScriptedWorker) -> None:
    job = client.submit(ANY_AUDIO, lane="interactive")
    assert client.cancel(job.id) == "canceled"
    assert client.state(job.id).status == "canceled"
    result = client.wait(job.id)
    assert (result.status, result.error and result.error.code) == ("canceled", "canceled")
    with raises(errors.JobStateError):
        client.cancel(job.id)
    client.retry(job.id)
    assert client.state(job.id).status == "queued"
    execution = worker.take()
    with raises(errors.JobStateError):
        client.retry(job.id)
    assert client.cancel(job.id) == "requested"
    worker.cancel(execution)
    assert client.wait(job.id, timeout_s=50).status == "canceled"


def test_lists(client: Client, worker: ScriptedWorker) -> None:
    ids = [client.submit(ANY_AUDIO, lane=lane).id for lane in ("batch", "batch", "interactive", "interactive")]
    worker.complete(worker.take(), "done")
    assert [state.id for state in client.jobs()] == [ids[3], ids[2], ids[0], ids[1]]
    assert [state.id for state in client.jobs("completed")] == [ids[2]]
    assert [state.id for state in client.jobs("queued", most=1)] == [ids[3], ids[0]]
    worker.take()
    assert [state.id for state in client.jobs("processing")] == [ids[3]]
    assert [state.id for state in client.jobs("queued", lane="batch", most=1, after=ids[0])] == [ids[1]]


def test_workers_and_commands_to_them(client: Client, redis: Redis) -> None:
    now = time.time()
    announced = {"state": "ready", "at": now, "until": now + 60, "engines": {}}
    redis.hset(keys.WORKERS, "gpu1", json.dumps(announced))
    redis.hset(keys.WORKERS, "killed", json.dumps({**announced, "until": now - 1}))
    redis.hset(keys.WORKERS, "older", json.dumps({"state": "ready", "at": now - 61}))
    for number, rubbish in enumerate((b"\xff", "[]", "{}", "[" * 5000, '{"state":1,"at":1}', '{"state":"x","at":"x"}')):
        redis.hset(keys.WORKERS, f"rubbish-{number}", rubbish)
    assert client.workers() == {"gpu1": announced}
    assert client.reaper() is False
    redis.set(keys.LEADER, "somebody", ex=10)
    assert client.reaper() is True
    assert client.command("unload", "qwen") == 0
    with redis.pubsub() as heard:
        heard.subscribe(keys.CONTROL)
        messages = heard.listen()
        assert next(messages)["type"] == "subscribe"
        assert client.command("load", "qwen") == 1
        hint = json.loads(next(messages)["data"])
    assert hint["command"] == "load"
    mark = keys.command(hint["id"])
    assert json.loads(redis.get(mark) or b"") == {"command": "load", "backend": "qwen"}
    assert 0 < redis.ttl(mark) <= 60


def test_a_queue_that_is_away_or_refuses(connect: Connect, valkey_url: str) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        away = connect(redis_url=f"redis://127.0.0.1:{unheard.getsockname()[1]}", redis_retry_s=0)
        with raises(errors.QueueUnreachableError):
            away.wait("job")
    stranger = connect(redis_url=valkey_url.replace("//", "//nobody:geheim@"))
    with raises(errors.QueueAuthError) as refused:
        stranger.wait("job")
    assert "geheim" not in str(refused.value)


def test_an_outage_while_following_loses_and_repeats_nothing(
    connect: Connect, worker: ScriptedWorker, valkey_url: str
) -> None:
    with Relay(valkey_url) as relay:
        client = connect(redis_url=relay.url, redis_timeout_s=1)
        job = client.submit(ANY_AUDIO, lane="interactive")
        events = client.events(job.id, timeout_s=30)
        assert next(events).type == "queued"
        relay.down()
        with soon(relay.up, 2.0):  # longer than one command is tried again for
            worker.complete(worker.take(), "still here")
            assert [event.type for event in events] == ["started", "completed"]
        assert client.wait(job.id).text == "still here"


def test_a_script_that_the_server_forgot_is_sent_again(client: Client, redis: Redis) -> None:
    client.submit(ANY_AUDIO)
    redis.script_flush()
    assert client.submit(ANY_AUDIO).created
