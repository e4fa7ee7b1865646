"""Audio that clients have uploaded, kept in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from redis import Redis

from asrq_jobs import keys
from asrq_jobs.connection import queue_errors
from asrq_jobs.settings import Settings

_BLOCK = 1 << 20  # bytes: even of a slow network a few seconds' worth, as somebody may give up in between


class Uploads:
    """Reads them from one Redis."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings

    def __call__(self, sha256: str) -> Iterator[bytes]:
        """Yield the bytes of an upload; none if it is no longer there.

        Raises:
            QueueError: Redis failed.
        """
        key, at = keys.blob(sha256), 0
        while True:
            with queue_errors(self._settings):
                block = cast("bytes", self._redis.getrange(key, at, at + _BLOCK - 1))
            if block:
                yield block
            if len(block) < _BLOCK:
                return
            at += _BLOCK
