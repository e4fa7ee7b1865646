"""What only a client for asyncio can get wrong: tasks that are canceled, and many that wait at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Connection

from asrq_jobs import AsyncClient
from asrq_jobs.request import PathAudio
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker

AUDIO = PathAudio(path="/talk.mp3")


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=f"{valkey_url}?client_name=ours")


def connections(redis: Redis) -> list[str]:
    """The last command of each connection that the client holds."""
    return [str(one["cmd"]) for one in redis.client_list() if one["name"] == "ours"]


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_a_canceled_task_leaves_no_connection(settings: Settings, redis: Redis) -> None:
    async def follow(client: AsyncClient, job_id: str) -> None:
        async for _ in client.events(job_id):
            pass

    async def main(act: Callable[[AsyncClient, str], Awaitable[object]]) -> None:
        async with AsyncClient(settings) as client:
            job = await client.submit(AUDIO)
            waiting = asyncio.ensure_future(act(client, job.id))
            await until(lambda: "xread" in connections(redis))
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await until(lambda: connections(redis).count("xread") == 0)
            assert (await client.state(job.id)).status == "queued"  # what comes now is the answer to this question
            assert len(connections(redis)) == 1
        await until(lambda: connections(redis) == [])

    asyncio.run(main(lambda client, job_id: client.wait(job_id)))
    asyncio.run(main(follow))


def test_a_cancellation_that_comes_when_all_is_sent_is_not_lost(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `asyncio.wait_for`, by which redis-py sends, loses it before Python 3.12."""
    send = Connection.send_packed_command

    async def canceled_when_sent(connection: Connection, packed: Any, **options: Any) -> None:
        await send(connection, packed, **options)
        if b"XREAD" in b"".join(packed):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    async def main() -> None:
        async with AsyncClient(settings) as client:
            job = await client.submit(AUDIO)
            monkeypatch.setattr(Connection, "send_packed_command", canceled_when_sent)
            waiting = asyncio.ensure_future(client.wait(job.id))
            done, _ = await asyncio.wait({waiting}, timeout=20)
            assert done == {waiting}
            assert waiting.cancelled()
            monkeypatch.undo()
            assert (await client.state(job.id)).status == "queued"

    asyncio.run(main())


def test_time_limits_of_asyncio_apply(settings: Settings, redis: Redis) -> None:
    async def main() -> None:
        async with AsyncClient(settings) as client:
            job = await client.submit(AUDIO)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.wait(job.id)
            assert await client.cancel(job.id) == "canceled"

        await until(lambda: connections(redis) == [])

    asyncio.run(main())


def test_many_wait_at_once(settings: Settings, redis: Redis) -> None:
    worker = ScriptedWorker(redis)

    async def main() -> None:
        async with AsyncClient(settings) as client:
            ids = [(await client.submit(AUDIO, lane="interactive")).id for _ in range(20)]
            waiting = [asyncio.ensure_future(client.wait(job_id, timeout_s=50)) for job_id in ids]
            await until(lambda: connections(redis).count("xread") == len(ids))
            for job_id in ids:
                await asyncio.to_thread(lambda job_id=job_id: worker.complete(worker.take(), job_id))
            assert [result.text for result in await asyncio.gather(*waiting)] == ids

        await until(lambda: connections(redis) == [])

    asyncio.run(main())
