"""The time, which is that of Redis: the clocks of hosts differ, so they only measure how long things take."""

from __future__ import annotations

import time
from collections.abc import Callable

from redis import Redis


def ask(redis: Redis) -> float:
    """Return the time of Redis when it was asked, Unix s, however long the answer took.

    Raises:
        redis.exceptions.RedisError: it does not answer.
    """
    began = time.monotonic()
    seconds, microseconds = redis.time()
    return seconds + microseconds / 1e6 - (time.monotonic() - began)


def from_then_on(told: float) -> Callable[[], float]:
    """Return the time of Redis from now on, without asking again: what it told, Unix s, and what has passed since."""
    since = time.monotonic()
    return lambda: told + time.monotonic() - since
