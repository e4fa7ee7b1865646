"""Texts and events as they come."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from integration.http.asking import FILES, FORM, URL, chunk, error
from redis import Redis
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.errors import AudioUnreadableError
from asrq_jobs.events import Event
from asrq_jobs.request import PathAudio
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.http import sse

if TYPE_CHECKING:
    import openai

AUDIO = PathAudio(path="/talk.mp3")


@pytest.fixture
def streamed(official: openai.OpenAI, scripted: ScriptedWorker) -> list[tuple[str, str]]:
    """What OpenAI's client is told of a job whose chunks end in another order than they were said."""
    told: list[tuple[str, str]] = []

    def ask() -> None:
        stream = official.audio.transcriptions.create(file=("a.wav", b"sound"), model="gpt-4o-transcribe", stream=True)
        for event in stream:
            text = event.delta if event.type == "transcript.text.delta" else getattr(event, "text", "")
            told.append((event.type, text))

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask)
        execution = scripted.take()
        scripted.event(execution, chunk(0, "One.", until=2))
        until(lambda: told)  # while the job runs
        scripted.event(execution, chunk(4, "Three.", until=2))
        scripted.event(execution, chunk(2, "Two.", until=5))
        scripted.complete(execution, "One. Two. Three.")
        asking.result(60)
    return told


def test_the_official_client_gets_the_text_as_it_comes(streamed: list[tuple[str, str]]) -> None:
    assert streamed == [
        ("transcript.text.delta", "One."),
        ("transcript.text.delta", " Two. Three."),
        ("transcript.text.done", "One. Two. Three."),
    ]


def test_what_no_chunk_told_comes_at_the_end(http: httpx.Client, scripted: ScriptedWorker) -> None:
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(lambda: http.post(URL, data={**FORM, "stream": "true"}, files=FILES))
        scripted.complete(scripted.take(), "hello")
        answer = asking.result(60)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["X-Asrq-Job"]
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert events == [
        {"type": "transcript.text.delta", "delta": "hello"},
        {"type": "transcript.text.done", "text": "hello"},
    ]


def test_a_job_that_fails_ends_the_stream_with_its_error(official: openai.OpenAI, scripted: ScriptedWorker) -> None:
    import openai

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(
            lambda: list(official.audio.transcriptions.create(file=("a.wav", b"sound"), model="whisper-1", stream=True))
        )
        scripted.fail(scripted.take(), AudioUnreadableError("This is no audio."))
        with pytest.raises(openai.APIError, match="This is no audio") as raised:
            asking.result(60)
    assert raised.value.code == "audio_unreadable"


def test_who_leaves_a_stream_cancels_its_job(
    http: httpx.Client, scripted: ScriptedWorker, redis: Redis, client: Client
) -> None:
    with ThreadPoolExecutor() as pool:
        taking = pool.submit(scripted.take)
        with http.stream("POST", URL, data={**FORM, "stream": "true"}, files=FILES) as answer:
            execution = taking.result(60)
            scripted.event(execution, chunk(0, "One.", until=2))
            assert "One." in next(answer.iter_text())
    until(lambda: redis.exists(keys.cancel(execution.job_id)))


def events(answer: httpx.Response) -> list[tuple[str, str]]:
    found = []
    for block in filter(None, answer.text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        assert json.loads(fields["data"])["type"] == fields["event"]
        found.append((fields["id"], fields["event"]))
    return found


def test_events_go_on_after_the_last_one_seen(http: httpx.Client, client: Client, scripted: ScriptedWorker) -> None:
    client.submit(AUDIO, id="job", lane="interactive")
    execution = scripted.take()
    scripted.event(execution, chunk(0, "One.", until=2))
    scripted.complete(execution, "One.")
    whole = events(http.get("/v1/jobs/job/events"))
    assert [kind for _, kind in whole] == ["queued", "started", "chunk", "completed"]
    rest = events(http.get("/v1/jobs/job/events", headers={"Last-Event-ID": whole[1][0]}))
    assert rest == whole[2:]
    assert http.get("/v1/jobs/job/events", headers={"Last-Event-ID": "now"}).status_code == 400
    assert http.get("/v1/jobs/nobody/events").status_code == 404


def test_an_id_that_is_none_of_an_event_is_refused(http: httpx.Client, client: Client) -> None:
    client.submit(AUDIO, id="job")
    for wrong in ("first", "9" * 20):
        answer = http.get("/v1/jobs/job/events", headers={"Last-Event-ID": wrong})
        assert error(answer, 400)["param"] == "last-event-id"


def test_text_that_grows_is_passed_on(http: httpx.Client, client: Client, scripted: ScriptedWorker) -> None:
    client.submit(AUDIO, id="job", lane="interactive")
    execution = scripted.take()
    growing = Event(type="partial", at=time.time(), start=0.5, end=2.0, text="One two", stable=3)
    with http.stream("GET", "/v1/jobs/job/events") as answer:
        lines = answer.iter_lines()
        scripted.event(execution, growing)
        assert "event: partial" in lines
        told = json.loads(next(lines).removeprefix("data: "))
        scripted.complete(execution, "One two.")
    assert {name: told[name] for name in ("start", "end", "text", "stable")} == growing.model_dump(
        include={"start", "end", "text", "stable"}
    )


def test_a_stream_is_never_silent_for_long(
    http: httpx.Client, client: Client, scripted: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "SILENCE_S", 0.05)
    client.submit(AUDIO, id="job", lane="interactive")
    with http.stream("GET", "/v1/jobs/job/events") as answer:
        lines = answer.iter_lines()
        assert ": still here" in lines
        scripted.complete(scripted.take(), "hello")
        assert "event: completed" in lines
