"""Loads the functions that clients call, into servers that have functions (Redis 7, Valkey)."""

from __future__ import annotations

from typing import cast

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from asrq_jobs import scripts
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.queue")


def publish(redis: Redis, *, replace: bool) -> bool:
    """See to it that the library is there; with `replace` it is also the one of this version afterwards.

    It is one for all databases of a server. Returns False where that is not to be had: the server is too old, or does
    not let this user.

    Raises:
        redis.exceptions.RedisError: Redis does not answer.
    """
    try:
        found = cast("list[object]", redis.function_list(scripts.LIBRARY, withcode=replace))
        if not found or (replace and scripts.library().encode() not in _leaves(found)):
            redis.function_load(scripts.library(), replace=True)
            _log.info("functions.loaded")
    except NoPermissionError as error:
        _log.debug("functions.refused", reason=str(error))
        return False
    except ResponseError as error:
        if "unknown command" not in str(error).lower():
            raise
        return False
    return True


def _leaves(answer: object) -> list[object]:
    """Return all texts in an answer: servers and protocols differ in its form."""
    if isinstance(answer, dict):
        answer = [*answer.keys(), *answer.values()]
    if isinstance(answer, list | tuple):
        return [leaf for part in answer for leaf in _leaves(part)]
    return [answer]
