"""Whether Redis answers now: asked on a connection of its own, without patience."""

from __future__ import annotations

import threading
import time

from redis.exceptions import RedisError

from asrq_jobs.connection import connect, explain
from asrq_jobs.settings import Settings

_TIMEOUT_S = 2.0
_FRESH_S = 1.0  # one scrape asks more than once


class RedisProbe:
    """Thread-safe; one connection for all callers."""

    def __init__(self, settings: Settings) -> None:
        hasty = {"redis_timeout_s": min(settings.redis_timeout_s, _TIMEOUT_S)}
        self._settings = settings.model_copy(update=hasty)
        self._redis = connect(self._settings, retry_s=0)
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._error: str | None = None

    def error(self) -> str | None:
        """Return in a sentence why Redis does not answer within two seconds, or None if it does."""
        with self._lock:
            if time.monotonic() - self._asked >= _FRESH_S:
                self._error = self._ask()
                self._asked = time.monotonic()
            return self._error

    def _ask(self) -> str | None:
        try:
            self._redis.ping()
        except (RedisError, OSError) as error:
            return explain(error, self._settings).message
        return None

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()
