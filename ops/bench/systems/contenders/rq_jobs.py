"""RQ's default worker: a process, and so a model, for each job."""

from __future__ import annotations

from functools import cache

from rq import Queue

from systems.contenders.hearing import Job, hear, load, preloaded, valkey


@cache
def _queue(name: str) -> Queue:
    return Queue(name, connection=valkey(), default_timeout=3600)


def queue(job: Job) -> Queue:
    """Return the queue of a job; workers look into `interactive` first."""
    return _queue("interactive" if job["urgent"] else "batch")


def alone(job: Job) -> None:
    """Load, transcribe, forget."""
    hear(load(), job)


def with_model(job: Job) -> None:
    """Transcribe with the model that the first job of this process has loaded."""
    hear(preloaded(), job)


def submit(job: Job) -> None:
    """Queue a job that loads a model of its own."""
    queue(job).enqueue(alone, job)
