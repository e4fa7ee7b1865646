"""Connections to Redis or Valkey that ride out short outages, and errors that say what went wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis.exceptions
from redis import Redis, asyncio
from redis.backoff import ExponentialWithJitterBackoff

from asrq_jobs.errors import (
    QueueAuthError,
    QueueError,
    QueueRefusedError,
    QueueUnreachableError,
    QueueUnusableError,
)
from asrq_jobs.redaction import redacted_url
from asrq_jobs.retries import AsyncRetry, Retry
from asrq_jobs.settings import Settings

_BACKOFF = ExponentialWithJitterBackoff(base=0.05, cap=2.0)
DEMOTED = (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError)
"""Answers of a server that was demoted under us: only a new connection finds the one that leads now."""
_RETRIED = [redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError, *DEMOTED]
_AWAY = redis.exceptions.ConnectionError | redis.exceptions.TimeoutError | OSError
_CANNOT_SERVE = (
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.MasterDownError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.TryAgainError,
)
_CANNOT_SERVE_CODES = "BUSY|MISCONF|NOREPLICAS|OOM|READONLY"
_ANY_NUMBER = 2**31  # of connections: each wait for a job keeps one, and redis-py 7 and later stop at 100
_UNTRUSTED = (
    "Name the authority with ?ssl_ca_certs=, and the host as its certificate does: docs/how-to/secure-redis.md."
)
_NO_TLS = "rediss:// is for a port that speaks TLS; for one that does not, write redis://."
_TLS = "A port that speaks TLS wants rediss:// in place of redis://."
# What servers add where a script fails (6.2 before, 7 behind): it says nothing to people, and `@` looks like a login.
_IN_SCRIPT = re.compile(r"Error running script \(call to \w+\): |@user_script: ?\d+: | script: .*", re.DOTALL)
_NO_DATABASE = "Take database 0, or another of those that `databases` in redis.conf allows (16, if it says nothing)."
_FOREIGN = (
    "Something else has written it. If all jobs share it, the reaper moves it away: try again in some seconds. If it "
    "is a job's (TYPE rq:job:ID), delete it. Give asrq a database that nothing else uses."
)


def connect(settings: Settings, *, retry_s: float = 1.0) -> Redis:
    """Return a client; nothing is sent before its first command.

    Each command is tried again with exponential backoff for `retry_s` seconds, and at least once, when the connection
    is refused, drops or times out, the operating system reports a network error, or the server has become a
    replica; 0: it is not. So one that is not answered at all takes at most twice `redis_timeout_s`.
    """
    return Redis.from_url(settings.redis_url, **_options(settings), retry=Retry(retry_s, _BACKOFF, _RETRIED))


def connect_async(settings: Settings, *, retry_s: float = 1.0) -> asyncio.Redis:
    """Return the same for asyncio."""
    retry = AsyncRetry(retry_s, _BACKOFF, _RETRIED)
    return asyncio.Redis.from_url(settings.redis_url, **_options(settings), retry=retry)


def _options(settings: Settings) -> dict[str, Any]:
    return {
        **_of_scheme(settings.redis_url),
        "socket_timeout": settings.redis_timeout_s,
        "socket_connect_timeout": settings.redis_timeout_s,
        "health_check_interval": 30,
        "max_connections": _ANY_NUMBER,
        "encoding_errors": "surrogateescape",  # a name read as text is written as the same bytes
    }


def _of_scheme(url: str) -> dict[str, Any]:
    """Return the options that only some kinds of connections take."""
    if url.startswith("unix:"):
        return {}
    if url.startswith("redis:") or "ssl_cert_reqs=none" in url:
        return {"socket_keepalive": True}
    return {
        "socket_keepalive": True,
        "ssl_check_hostname": True,
    }  # which older versions of redis-py do not by themselves


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
    where = redacted_url(settings.redis_url)
    text = _IN_SCRIPT.sub("", str(error)).rstrip(". ")
    if isinstance(error, redis.exceptions.NoPermissionError):
        hint = "The rights that each user of Redis needs are in docs/how-to/secure-redis.md."
        return QueueAuthError(f"Redis at {where} refused us: {text}.", hint=hint)
    if _turns_us_away(error):
        return QueueAuthError(f"Redis at {where} refused us: {text}.")
    if isinstance(error, redis.exceptions.OutOfMemoryError) or _says(error, "OOM"):
        return QueueRefusedError(
            f"Redis at {where} is full (out of memory).",
            hint="Raise maxmemory, or wait until results and uploads expire.",
        )
    if _cannot_serve(error):
        return QueueRefusedError(f"Redis at {where} cannot serve now: {text}.")
    if isinstance(error, _AWAY | redis.exceptions.InvalidResponse):
        return QueueUnreachableError(f"Redis at {where} does not answer: {text}.", hint=_advice(text, settings))
    return _refused(where, text)


def _refused(where: str, text: str) -> QueueError:
    """Return the error for a command that Redis will never carry out."""
    if "WRONGTYPE" in text:
        said = f"A key of the queue in Redis at {where} holds what is none of asrq's."
        return QueueUnusableError(said, hint=_FOREIGN)
    advice = _NO_DATABASE if "DB index" in text or "SELECT is not allowed" in text else None
    return QueueUnusableError(f"Redis at {where} refused a command: {text}.", hint=advice)


def _advice(text: str, settings: Settings) -> str | None:
    """Return what to do about a server that does not answer as Redis does."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return _UNTRUSTED
    if settings.redis_url.startswith("rediss:"):
        return f"{QueueUnreachableError.default_hint} {_NO_TLS}"
    if (
        settings.redis_url.startswith("redis:") and "connecting to" not in text
    ):  # it admits us, and then does not answer
        return f"{QueueUnreachableError.default_hint} {_TLS}"
    return None


def in_short(error: Exception) -> str:
    """Return the text for a log of an error of redis-py: why the server cannot serve now, or the kind of error."""
    return str(error).partition(" script:")[0] if _cannot_serve(error) else type(error).__name__


def may_pass(error: Exception) -> bool:
    """Whether waiting may help: Redis is away or cannot serve now, rather than that it refuses us or a command."""
    return not _turns_us_away(error) and (isinstance(error, _AWAY) or _cannot_serve(error))


def _turns_us_away(error: Exception) -> bool:
    classes = redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError
    return isinstance(error, classes) or _says(error, "NOAUTH|WRONGPASS|NOPERM")


def _cannot_serve(error: Exception) -> bool:
    return isinstance(error, _CANNOT_SERVE) or _says(error, _CANNOT_SERVE_CODES)


def _says(error: Exception, codes: str) -> bool:
    """Whether an answer that redis-py has no class for has one of these codes: Redis 6 wraps those met in a script."""
    return bool(re.search(rf"(^|-)({codes})\b", str(error)))
