"""Connections to Redis or Valkey that ride out short outages, and errors that say what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis.exceptions
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from asrq_jobs.configuration import mask_url
from asrq_jobs.errors import QueueAuthError, QueueError, QueueRefusedError, QueueUnreachableError
from asrq_jobs.settings import Settings

_CAP_S = 2.0
_BASE_S = 0.05


def connect(settings: Settings, *, retry_s: float = 1.0, max_connections: int | None = None) -> Redis:
    """Return a client; nothing is sent before its first command.

    Each command is tried again with exponential backoff for about `retry_s` seconds when the connection is
    refused, drops or times out, or the operating system reports a network error.
    """
    tries = 5 + int(retry_s / _CAP_S)  # the first five waits are short, the others about the cap
    return Redis.from_url(
        settings.redis_url,
        socket_timeout=settings.redis_timeout_s,
        socket_connect_timeout=settings.redis_timeout_s,
        socket_keepalive=True,
        health_check_interval=30,
        max_connections=max_connections,
        retry=Retry(ExponentialWithJitterBackoff(base=_BASE_S, cap=_CAP_S), tries),
        retry_on_error=[redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError],
    )


@contextmanager
def queue_errors(settings: Settings) -> Iterator[None]:
    """Turn redis-py's exceptions into ours.

    Raises:
        QueueError: one of its subclasses, with the address (password hidden) and what to do.
    """
    try:
        yield
    except (redis.exceptions.RedisError, OSError) as error:
        raise explain(error, settings) from error


def explain(error: Exception, settings: Settings) -> QueueError:
    """Return our error for one of redis-py's."""
    where = mask_url(settings.redis_url)
    text = str(error).rstrip(".")
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError) or (
        text.startswith(("NOAUTH", "WRONGPASS", "NOPERM"))
    ):
        return QueueAuthError(f"Redis at {where} refused us: {text}.")
    if isinstance(error, redis.exceptions.BusyLoadingError | redis.exceptions.ReadOnlyError):
        return QueueRefusedError(f"Redis at {where} cannot serve now: {text}.")
    if isinstance(error, redis.exceptions.OutOfMemoryError) or "OOM" in text[:40]:
        return QueueRefusedError(
            f"Redis at {where} is out of memory.", hint="Raise maxmemory, or wait until results and uploads expire."
        )
    if isinstance(error, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError | OSError):
        return QueueUnreachableError(f"Redis at {where} does not answer: {text}.")
    return QueueRefusedError(f"Redis at {where} refused a command: {text}.")
