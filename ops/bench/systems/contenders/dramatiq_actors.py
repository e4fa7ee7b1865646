"""Dramatiq: an actor for each of two queues, of which the urgent one has the better priority."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from systems.contenders.hearing import URL, Job, hear, preloaded

dramatiq.set_broker(RedisBroker(url=URL))

_HOUR_MS = 3_600_000


@dramatiq.actor(queue_name="interactive", priority=0, time_limit=_HOUR_MS)
def urgent(job: Job) -> None:
    """Transcribe with the model of this process."""
    hear(preloaded(), job)


@dramatiq.actor(queue_name="batch", priority=10, time_limit=_HOUR_MS)
def patient(job: Job) -> None:
    """Transcribe with the model of this process."""
    hear(preloaded(), job)


def submit(job: Job) -> None:
    """Queue a job."""
    (urgent if job["urgent"] else patient).send(job)
