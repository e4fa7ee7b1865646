"""RQ's SimpleWorker, which runs jobs in its own process, with a model that stays loaded."""

from __future__ import annotations

from systems.contenders import rq_jobs
from systems.contenders.hearing import Job


def submit(job: Job) -> None:
    """Queue a job for the model that is there."""
    rq_jobs.queue(job).enqueue(rq_jobs.with_model, job)
