"""What a client is told to wait where a lane is full."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

from asrq_jobs import keys
from asrq_jobs.aio import AsyncClient
from asrq_jobs.settings import Settings
from asrq_worker.http.lanes import Lanes


@pytest.mark.parametrize(
    ("waiting", "elapsed_s", "completed", "expected"),
    [
        (200, 10.0, 10, 20),  # 1 job a second: 200 s for all
        (20, 10.0, 100, 1),
        (10_000, 10.0, 10, 60),
        (200, 61.0, 0, None),  # it stands still
        (200, 10.0, 0, None),  # perhaps it does
        (200, 121.0, 10, None),  # it may have been empty meanwhile
    ],
)
def test_it_is_known_from_the_second_look_on(
    redis: Redis, valkey_url: str, waiting: int, elapsed_s: float, completed: int, expected: int | None
) -> None:
    now = 1000.0

    async def look() -> list[int | None]:
        nonlocal now
        async with AsyncClient(Settings(redis_url=valkey_url)) as client:
            lanes = Lanes(client, lambda: now)
            found = [await lanes.room_in_s("batch")]
            redis.hincrby(keys.STATS, keys.completed_of("batch"), completed)
            redis.hincrbyfloat(keys.STATS, keys.audio_of("batch"), 30.0 * completed)
            now += elapsed_s
            return [*found, await lanes.room_in_s("batch")]

    redis.rpush(keys.queue("batch"), *range(waiting))
    redis.hset(keys.STATS, mapping={keys.completed_of("batch"): 5, keys.audio_of("batch"): 150.0})
    assert asyncio.run(look()) == [None, expected]


def test_where_it_may_not_look_it_says_so(redis: Redis, valkey_url: str) -> None:
    redis.set(keys.STATS, "damaged")

    async def look() -> int | None:
        async with AsyncClient(Settings(redis_url=valkey_url)) as client:
            return await Lanes(client).room_in_s("batch")

    assert asyncio.run(look()) is None
