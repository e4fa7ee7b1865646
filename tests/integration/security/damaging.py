"""What tests of keys of the wrong type do: write them, and run a reaper that is soon sure of its doubts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from asrq_jobs.settings import Settings
from asrq_worker.queue import shared_keys
from asrq_worker.reaper.reaper import Reaper


@contextmanager
def reaping(redis: Redis, settings: Settings) -> Iterator[None]:
    """Run a reaper that is soon sure of its doubts."""
    reaper = Reaper(redis, settings.model_copy(update={"lease_s": 1.0, "reaper_interval_s": 0.1}))
    reaper.start()
    try:
        yield
    finally:
        reaper.close()


def damage(redis: Redis, key: str) -> None:
    redis.delete(key)
    if shared_keys.TYPES.get(key) == "string":
        redis.rpush(key, "rubbish")
    else:
        redis.set(key, "rubbish")
