"""The keys in Redis that all jobs share. A value of the wrong type under one of them is moved out of the way.

Anyone who can write to Redis can overwrite such a key. The old value is lost then; but as long as the wrong one stays,
no worker can use the key. The right content comes back by itself: the reaper finds jobs that are on no list and
executions without a lease, and workers register again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError

from asrq_jobs import keys
from asrq_jobs.request import LANES
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.queue")

_KEPT_S = 7 * 86_400
TYPES: Final[Mapping[str, str]] = {
    keys.LEASES: "zset",
    keys.WEBHOOKS: "zset",
    keys.GROUPS: "set",
    keys.LIMITS: "hash",
    keys.WORKERS: "hash",
    keys.STATS: "hash",
    keys.LEADER: "string",
    keys.CANCELED: "string",
    keys.POLICY: "string",
    keys.POLICY_LOG: "stream",
    keys.SHADOW: "stream",
    keys.RQ_QUEUES: "set",
    keys.RQ_WORKERS: "set",
    **{keys.rq_workers(lane): "set" for lane in LANES},
    **{of(lane): "list" for lane in LANES for of in (keys.queue, keys.intermediate)},
    **{keys.registry(kind, lane): "zset" for lane in LANES for kind in keys.REGISTRIES},
}
"""The keys that all jobs share, with the types of what they hold."""


def queues(redis: Redis) -> set[bytes]:
    """Return the names of all lists of waiting jobs.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or refuses.
    """
    try:
        return cast("set[bytes]", redis.smembers(keys.RQ_QUEUES))
    except ResponseError as error:
        if is_wrong_type(error):
            return set()
        raise


def lists_apart(redis: Redis) -> list[tuple[str, str]]:
    """Return the lists of jobs that wait for a certain worker: each lane with what its jobs need.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or refuses.
    """
    found = queues(redis)
    return [(lane, need) for lane in LANES for need in keys.needs(lane, found)]


def forget_if_empty(redis: Redis, queue: str) -> bool:
    """Take such a list off the register if nothing waits there any more.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or refuses.
    """

    def forget(pipe: Pipeline) -> None:
        empty = not pipe.exists(queue)  # immediate while watching
        pipe.multi()
        if empty:
            pipe.srem(keys.RQ_QUEUES, queue)

    return bool(redis.transaction(forget, queue))


def is_wrong_type(answer: object) -> bool:
    """Whether Redis refused a command because its key holds another type."""
    return isinstance(answer, Exception) and "WRONGTYPE" in str(answer)


def wrong_types(redis: Redis, types: Mapping[str, str] = TYPES) -> dict[str, str]:
    """Return which of the keys hold another type, and which.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or refuses.
    """
    pipe = redis.pipeline(transaction=False)
    for key in types:
        pipe.type(key)
    held = {key: cast("bytes", found).decode() for key, found in zip(types, pipe.execute(), strict=True)}
    return {key: found for key, found in held.items() if found not in {"none", types[key]}}


def left_aside(redis: Redis) -> tuple[str, ...]:
    """Return the names under which there is something that was moved out of the way.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or refuses.
    """
    names = tuple(map(keys.aside, TYPES))
    pipe = redis.pipeline(transaction=False)
    for name in names:
        pipe.exists(name)
    return tuple(name for name, there in zip(names, pipe.execute(), strict=True) if there)


def set_aside(redis: Redis, types: Mapping[str, str] = TYPES) -> tuple[str, ...]:
    """Move those of the keys that hold another type out of the way, where they stay for a week; return their names.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or refuses.
    """
    return tuple(key for key, found in wrong_types(redis, types).items() if _moved(redis, key, found))


def _moved(redis: Redis, key: str, found: str) -> bool:
    aside = keys.aside(key)

    def move(pipe: Pipeline) -> None:
        still_there = cast("bytes", pipe.type(key)) == found.encode()  # immediate while watching
        pipe.multi()
        if still_there:
            pipe.rename(key, aside)
            pipe.expire(aside, _KEPT_S)

    if not redis.transaction(move, key):
        return False
    _log.error(
        "queue.damaged", key=key, held=found, moved_to=aside, fix=f"find out who wrote it; redis-cli DEL {aside}"
    )
    return True
