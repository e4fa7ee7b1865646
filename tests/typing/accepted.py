"""Programs as users write them, with the types that the library promises. Checked, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal, assert_type

import asrq_jobs
from asrq_jobs import (
    AsrqError,
    AsyncClient,
    BlobAudio,
    Client,
    ErrorInfo,
    Event,
    JobState,
    PathAudio,
    Request,
    Result,
    Segment,
    Settings,
    Submitted,
    UrlAudio,
    Word,
)
from asrq_jobs.events import Entry
from asrq_jobs.states import Status
from asrq_jobs.testing import Execution, FakeAsyncClient, FakeClient, ScriptedWorker

assert_type(asrq_jobs.__version__, str)


def waiting() -> None:
    with Client(Settings(redis_url="redis://host/0")) as client:
        assert_type(client, Client)
        assert_type(client.upload(b"sound", name="clip.ogg"), BlobAudio)
        job = client.submit(client.upload(Path("talk.mp3")), id="mine", language="ru", hotwords=["Grafana"])
        assert_type(job, Submitted)
        assert_type(job.depth, int | None)
        assert_type(client.submit_file("talk.mp3", lane="interactive"), Submitted)
        assert_type(client.submit(PathAudio(path="/talk.mp3")), Submitted)
        assert_type(client.submit(UrlAudio(url="https://host/talk.mp3")), Submitted)
        assert_type(client.submit_request(Request.build(id="a", audio=PathAudio(path="/a.mp3"))), Submitted)
        assert_type(client.result(job.id), Result | None)
        assert_type(client.events(job.id, after="0", timeout_s=5), Iterator[Event])
        assert_type(client.cancel(job.id), Literal["canceled", "requested"])
        assert_type(client.jobs("failed", most=10), list[JobState])
        state = client.state(job.id)
        assert_type(state.status, Status)
        assert_type(state.error, ErrorInfo | None)
        seen(client.wait(job.id, timeout_s=60))


async def awaiting() -> None:
    async with AsyncClient() as client:
        assert_type(client, AsyncClient)
        assert_type(await client.upload(b"sound"), BlobAudio)
        job = await client.submit_file(Path("talk.mp3"), language="ru")
        assert_type(job, Submitted)
        assert_type(client.events(job.id), AsyncIterator[Event])
        assert_type(client.entries(job.id, after="0"), AsyncIterator[Entry])
        async for event in client.events(job.id):
            assert_type(event.fraction, float | None)
        assert_type(await client.result(job.id), Result | None)
        assert_type(await client.state(job.id), JobState)
        assert_type(await client.cancel(job.id), Literal["canceled", "requested"])
        assert_type(await client.jobs(), list[JobState])
        seen(await client.wait(job.id))


def seen(result: Result) -> None:
    assert_type(result.status, Literal["completed", "failed", "canceled"])
    assert_type(result.text, str | None)
    assert_type(result.segments, tuple[Segment, ...] | None)
    assert_type(result.words, tuple[Word, ...] | None)
    assert_type(result.timings.rtfx, float | None)


def failing() -> None:
    try:
        waiting()
    except AsrqError as error:
        assert_type(error.code, str)
        assert_type(error.retryable, bool)
        assert_type(error.hint, str | None)
        assert_type(error.info(), ErrorInfo)


def testing() -> tuple[Client, AsyncClient]:
    client = FakeClient(lambda request: request.language, config=Settings())
    execution = client.worker.take("interactive", within_s=1)
    assert_type(execution, Execution)
    with ScriptedWorker(Client().redis).serving(lambda _request: "text"):
        assert_type(client.uploads, dict[str, bytes])
    return client, FakeAsyncClient()
