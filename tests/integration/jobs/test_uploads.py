"""Uploads: what is there already is not sent again if it is long, and wrong bytes under a hash never stay."""

from __future__ import annotations

import hashlib

import pytest
from redis import Redis

from asrq_jobs import Client, keys
from asrq_jobs.settings import Settings
from asrq_worker.queue import functions

LONG = bytes(range(256)) * 10_000  # two parts and a half


def _sent(redis: Redis) -> int:
    calls: int = redis.info("commandstats").get("cmdstat_set", {}).get("calls", 0)
    return calls


def _stored(redis: Redis, audio: bytes) -> bool:
    return bool(redis.get(keys.blob(hashlib.sha256(audio).hexdigest())) == audio)


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("audio", [LONG, LONG[: 2 << 20]], ids=["parts and a rest", "parts"])
def test_what_is_there_is_not_sent_again_and_lives_longer(
    client: Client, redis: Redis, audio: bytes, loaded: bool
) -> None:
    if loaded:
        functions.publish(redis, replace=True)
    blob = client.upload(audio)
    assert _stored(redis, audio)
    redis.expire(keys.blob(blob.sha256), 10)
    sent = _sent(redis)
    assert client.upload(audio) == blob
    assert _sent(redis) == sent
    assert redis.ttl(keys.blob(blob.sha256)) == pytest.approx(client.settings.blob_ttl_s, abs=10)


@pytest.mark.parametrize(
    "wrong",
    [b"", b"other", LONG[:-1], LONG + b"x", LONG[:-1] + b"x", b"x" + LONG[1:], LONG[: 1 << 20].ljust(len(LONG), b"x")],
    ids=["empty", "short", "a byte less", "a byte more", "the last byte", "the first byte", "from the second part on"],
)  # fmt: skip
def test_wrong_bytes_are_replaced(client: Client, redis: Redis, wrong: bytes) -> None:
    key = keys.blob(hashlib.sha256(LONG).hexdigest())
    redis.set(key, wrong)
    client.upload(LONG)
    assert _stored(redis, LONG)
    assert redis.ttl(key) == pytest.approx(client.settings.blob_ttl_s, abs=10)


def test_what_are_no_bytes_is_replaced(client: Client, redis: Redis) -> None:
    redis.rpush(keys.blob(hashlib.sha256(b"audio").hexdigest()), "x")
    client.upload(b"audio")
    assert _stored(redis, b"audio")


def test_who_may_not_look_writes(redis: Redis, valkey_url: str) -> None:
    redis.execute_command("ACL", "SETUSER", "other", "on", "nopass", "~*", "+expire", "+set", "+@connection")
    try:
        with Client(Settings(redis_url=valkey_url.replace("//", "//other:x@"))) as client:
            client.upload(b"audio")
            redis.set(keys.blob(hashlib.sha256(b"audio").hexdigest()), b"wrong")
            client.upload(b"audio")
    finally:
        redis.acl_deluser("other")
    assert _stored(redis, b"audio")
