"""What a gateway needs for requests that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest
from conftest import free_port
from redis import Redis
from support.processes import Process, ended
from support.waiting import until

from asrq_jobs import keys, performing
from asrq_jobs.steps import Command
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.queue import functions

URL = "/v1/audio/transcriptions"

FEW, MANY = 10, 200
POOLS = 32 + 40  # at most: of asyncio.to_thread, and of anyio, on which the routes run


def test_a_request_takes_one_round_trip_and_one_for_each_thing_that_happens_to_its_job(
    http: httpx.Client, redis: Redis, scripted: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions.publish(redis, replace=True)
    asked: list[str] = []
    real = performing._exchange_async

    async def counted(redis: Any, commands: Sequence[Command], connection: Any) -> list[Any]:
        asked.append("+".join(str(command[0]) for command in commands))
        return await real(redis, commands, connection)

    monkeypatch.setattr(performing, "_exchange_async", counted)
    with ThreadPoolExecutor() as pool:
        form = {"model": "whisper-1"}
        answer = pool.submit(http.post, URL, data=form, files={"file": ("talk.mp3", b"stands for audio")})
        until(lambda: redis.llen(keys.queue("interactive")) == 1)
        scripted.complete(scripted.take("interactive"), "said")
        assert answer.result().json() == {"text": "said"}
    happened = redis.xlen(keys.events(answer.result().headers["x-asrq-job"]))
    assert asked == ["SET+FCALL", *["XREAD+GET"] * (len(asked) - 1)]
    assert len(asked) <= 1 + happened


def test_a_request_that_waits_costs_no_thread(redis: Redis, valkey_url: str) -> None:
    port = free_port()
    with ended(Process("http", "--port", str(port), env={"ASRQ_REDIS_URL": valkey_url})) as gateway:
        until(lambda: psutil.Process(gateway.process.pid).net_connections())
        few, many = asyncio.run(_waiting(redis, port, gateway.process.pid))
        assert many <= few + POOLS < few + MANY - FEW
        assert gateway.process.poll() is None


async def _waiting(redis: Redis, port: int, pid: int) -> list[int]:
    """Threads of a gateway while few requests wait for their jobs, and while many do."""
    found, tasks = [], []
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=None, limits=limits) as client:  # noqa: S113
        for waiting in (FEW, MANY):
            for number in range(len(tasks), waiting):
                files = {"file": ("talk.mp3", f"stands for audio {number}".encode())}
                form = {"model": "whisper-1"}
                tasks.append(asyncio.ensure_future(client.post(URL, data=form, files=files)))
            await asyncio.to_thread(until, lambda: redis.llen(keys.queue("interactive")) == waiting)  # noqa: B023  # awaited
            found.append(psutil.Process(pid).num_threads())
            assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return found
