"""The library of functions that clients call: who loads it, when, and where it cannot be had."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from asrq_jobs import Client, scripts
from asrq_worker.queue import functions
from asrq_worker.reaper.reaper import Reaper

OLDER = "#!lua name=asrq\nredis.register_function('asrq_submit', function() return 'older' end)"
ALL = {f"asrq_{name}" for name in ("submit", "append", "cancel", "retry", "erase", "purge", "digest")}


def _names(redis: Redis) -> set[str]:
    listed: Any = redis.function_list()
    return {
        leaf.decode() for leaf in functions._leaves(listed) if isinstance(leaf, bytes) and leaf.startswith(b"asrq_")
    }


def _called(redis: Redis, command: str) -> int:
    calls: int = redis.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0)
    return calls


@pytest.mark.parametrize("protocol", [2, 3])
def test_it_is_loaded_once_and_is_that_of_the_last_to_start(redis: Redis, valkey_url: str, protocol: int) -> None:
    with Redis.from_url(f"{valkey_url}?protocol={protocol}") as worker:
        worker.function_load(OLDER)
        assert functions.publish(worker, replace=False)
        assert _names(redis) == {"asrq_submit"}, "one is there"
        assert functions.publish(worker, replace=True)
        assert _names(redis) == ALL
        loaded = _called(redis, "function|load")
        assert functions.publish(worker, replace=True)
        assert functions.publish(worker, replace=False)
        assert _called(redis, "function|load") == loaded


def test_the_reaper_brings_it_back_and_clients_call_it(redis: Redis, client: Client) -> None:
    blob = client.upload(b"audio")
    sent = _called(redis, "evalsha")
    client.submit(blob)
    assert _called(redis, "evalsha") == sent + 1
    Reaper(redis, client.settings).run_once()
    client.submit(blob)
    assert _called(redis, "evalsha") == sent + 1
    assert _names(redis) == ALL


def test_a_user_without_the_right_does_without(redis: Redis, valkey_url: str) -> None:
    redis.execute_command("ACL", "SETUSER", "other", "on", "nopass", "+@all", "-function", "~*", "&*")
    try:
        with Redis.from_url(valkey_url.replace("//", "//other:x@")) as other:
            assert not functions.publish(other, replace=True)
    finally:
        redis.acl_deluser("other")
    assert _names(redis) == set()


def test_a_server_before_7_has_none() -> None:
    unknown = ResponseError("unknown command `FUNCTION`, with args beginning with: `LIST`")
    assert not functions.publish(Mock(function_list=Mock(side_effect=unknown)), replace=True)


@pytest.mark.parametrize("error", [ResponseError("Error compiling function"), RedisConnectionError("away")])
def test_anything_else_is_an_error(error: Exception) -> None:
    with pytest.raises(type(error)):
        functions.publish(Mock(function_list=Mock(side_effect=error)), replace=True)


@pytest.mark.parametrize("name", ["submit", "cancel", "retry", "erase", "purge", "digest"])
def test_what_clients_call_is_what_they_would_send(name: scripts.ScriptName) -> None:
    assert scripts.source(name) in scripts.library()
