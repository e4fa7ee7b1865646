"""Many submissions in one round trip: each with an outcome of its own, in order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from conftest import Asrq
from redis import Redis

from asrq_jobs import AsyncClient, Client, keys
from asrq_jobs.errors import AsrqError, QueueRefusedError
from asrq_jobs.request import BlobAudio, PathAudio, Request
from asrq_jobs.settings import Settings
from asrq_jobs.states import Submitted
from asrq_jobs.submission import AT_ONCE
from asrq_worker.queue import functions

AUDIO = PathAudio(path="/talk.mp3")


def request(job_id: str, **fields: object) -> Request:
    return Request.build(**{"id": job_id, "audio": AUDIO, **fields})


def told(answers: list[Submitted | AsrqError]) -> list[str]:
    return [answer.code if isinstance(answer, AsrqError) else answer.id for answer in answers]


REQUESTS = [
    request("first"),
    request("lost", audio=BlobAudio(sha256="0" * 64, bytes=1)),
    request("second", lane="interactive"),
    request("first", language="ru"),
    request("first"),
]
TOLD = ["first", "blob_missing", "second", "job_conflict", "first"]


@pytest.mark.parametrize("with_functions", [False, True])
def test_each_is_accepted_or_refused_by_itself(client: Client, redis: Redis, *, with_functions: bool) -> None:
    redis.function_flush()
    if with_functions:
        functions.publish(redis, replace=True)
    answers = list(client.submit_many(REQUESTS))
    assert told(answers) == TOLD
    assert [answer.created for answer in answers if isinstance(answer, Submitted)] == [True, True, False]
    assert redis.lrange(keys.queue("batch"), 0, -1) == [b"first"]


def test_the_other_client_does_the_same(valkey_url: str) -> None:
    async def main() -> list[Submitted | AsrqError]:
        async with AsyncClient(Settings(redis_url=valkey_url)) as client:
            return [answer async for answer in client.submit_many(REQUESTS)]

    assert told(asyncio.run(main())) == TOLD


def test_more_than_go_into_one_round_trip_keep_their_order(client: Client, redis: Redis) -> None:
    ids = [f"job{number}" for number in range(2 * AT_ONCE + 1)]
    assert told(list(client.submit_many(request(job_id) for job_id in ids))) == ids
    assert [raw.decode() for raw in redis.lrange(keys.queue("batch"), 0, -1)] == ids


def test_what_a_full_redis_refuses_is_refused_one_by_one(client: Client, redis: Redis) -> None:
    redis.config_set("maxmemory", "1")
    try:
        [answer] = client.submit_many([request("first")])
    finally:
        redis.config_set("maxmemory", "0")
    assert isinstance(answer, QueueRefusedError)


def test_the_command_line_sends_paths_at_once_and_says_what_became_of_each(
    client: Client, tmp_path: Path, asrq: Asrq
) -> None:
    files = [tmp_path / f"{number}.wav" for number in range(3)]
    for file in files:
        file.write_bytes(b"sound")
    ran = asrq("submit", *files, "--path")
    ids = ran.stdout.split()
    assert ran.returncode == 0
    assert [client.state(job_id).position for job_id in ids] == [1, 2, 3]
