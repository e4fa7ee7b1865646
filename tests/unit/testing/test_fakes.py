"""What the clients in memory have beyond what they stand for."""

from __future__ import annotations

import asyncio
import io

import pytest

from asrq_jobs import PathAudio, Request, errors
from asrq_jobs.settings import Settings
from asrq_jobs.testing import FakeAsyncClient, FakeClient
from asrq_jobs.testing import client as fakes

ANY_AUDIO = PathAudio(path="/talk.mp3")


def _said(request: Request) -> str:
    return f"{request.id} in {request.language}"


def test_an_answer_ends_each_job_at_once() -> None:
    client = FakeClient(_said, config=Settings())
    client.submit(ANY_AUDIO, id="mine", language="ru")
    assert client.wait("mine", timeout_s=0).text == "mine in ru"
    live = client.live(id="talk")
    assert client.result("talk") is None
    live.end()
    assert live.wait(timeout_s=0).text == "talk in auto"


def test_a_job_that_nobody_ends_does_not_hang_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes, "_PATIENCE_S", 0.01)
    client = FakeClient(config=Settings())
    job = client.submit(ANY_AUDIO)
    with pytest.raises(errors.WaitTimeoutError) as raised:
        client.wait(job.id)
    assert raised.value.hint
    with pytest.raises(errors.WaitTimeoutError):
        list(client.events(job.id))


def test_an_outage_meets_every_call() -> None:
    client = FakeClient(config=Settings())
    live = client.live(id="talk")
    client.refusal = errors.QueueUnreachableError("Away.")
    for act in (client.state, client.result, client.wait, client.cancel, client.retry, client.erase):
        with pytest.raises(errors.QueueUnreachableError):
            act("talk")
    for call in (client.jobs, client.dead_letters, client.workers, client.reaper, lambda: client.upload(b"x")):
        with pytest.raises(errors.QueueUnreachableError):
            call()
    with pytest.raises(errors.QueueUnreachableError):
        client.submit(ANY_AUDIO)
    with pytest.raises(errors.QueueUnreachableError):
        list(client.submit_many([Request.build(id="a", audio=ANY_AUDIO)]))
    with pytest.raises(errors.QueueUnreachableError):
        live.append(bytes(2))
    client.refusal = None
    live.append(b"")
    assert client.sound("talk") == bytes(2)  # what could not be sent was kept


def test_the_fake_for_asyncio() -> None:
    async def work() -> None:
        async with FakeAsyncClient(config=Settings()) as client:
            blob = await client.upload(b"sound")
            assert blob.sha256 in client.sync.uploads
            job = await client.submit_request(Request.build(id="mine", audio=blob), audio=io.BytesIO(b"sound"))
            waiting = asyncio.create_task(client.wait(job.id))
            await asyncio.sleep(0)
            client.worker.complete(client.worker.take("batch"), "said")
            assert (await waiting).text == "said"
            assert [event.type async for event in client.events("mine")] == ["queued", "started", "completed"]
            [*ids] = [entry.id async for entry in client.entries("mine", after="1-0")]
            assert ids == ["2-0", "3-0"]
            assert [found.id for found in await client.jobs("completed")] == ["mine"]
            live = await client.live(id="talk")
            await live.append(bytes(4))
            await live.end()
            assert client.sync.sound("talk") == bytes(4)
            assert await live.cancel() == "canceled"
            await client.retry("talk")
            with pytest.raises(errors.WaitTimeoutError):
                await client.wait("talk", timeout_s=0.02)
            await client.erase("talk")
            with pytest.raises(errors.JobNotFoundError):
                await client.state("talk")
            many = [Request.build(id=name, audio=ANY_AUDIO) for name in ("a", "b")]
            assert [type(answer).__name__ async for answer in client.submit_many(many)] == ["Submitted", "Submitted"]
            client.worker.fail(client.worker.take("batch"), errors.NoAudioStreamError("None."))
            assert (
                [letter.id for letter in await client.dead_letters()] == [(await client.dead_letter("a")).id] == ["a"]
            )
            await client.purge("a")
            assert (await client.workers(), await client.reaper(), await client.command("load", "x")) == ({}, False, 0)
            assert await client.result("a") is None

    asyncio.run(work())
