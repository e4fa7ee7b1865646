"""What the functions that clients call read: the limits of this queue, and the result of a job that they cancel."""

from __future__ import annotations

from redis import Redis
from redis.client import Pipeline
from redis.typing import EncodableT, FieldT

from asrq_jobs import keys
from asrq_jobs.calls import canceled
from asrq_jobs.settings import Settings
from asrq_worker.queue import shared_keys


def publish(redis: Redis, settings: Settings) -> None:
    """Write them as a worker starts: those of the last worker to start apply.

    Raises:
        redis.exceptions.RedisError: Redis does not answer.
    """
    shared_keys.set_aside(redis, {keys.LIMITS: shared_keys.TYPES[keys.LIMITS]})
    redis.hset(keys.LIMITS, mapping=_limits(settings))
    redis.set(keys.CANCELED, canceled().to_json())


def restore(pipe: Pipeline, settings: Settings) -> None:
    """Queue on a pipeline what writes those that are lost, and changes no other."""
    for name, value in _limits(settings).items():
        pipe.hsetnx(keys.LIMITS, name, value)
    pipe.set(keys.CANCELED, canceled().to_json(), nx=True)


def _limits(settings: Settings) -> dict[FieldT, EncodableT]:
    own = {
        "blob_ttl": settings.blob_ttl_s,
        "live_bytes": settings.max_audio_mb << 20,
        "live_s": settings.max_audio_s,
    }
    depths = {f"depth:{lane}": settings.lane_depth for lane in settings.slots}
    return {name: str(value) for name, value in (depths | own).items()}
