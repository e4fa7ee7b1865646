"""Celery as its documentation advises for long tasks: acknowledged late, nothing prefetched, urgent ones by queue."""

from __future__ import annotations

from celery import Celery
from celery.signals import worker_process_init

from systems.contenders.hearing import URL, Job, hear, preloaded

app = Celery("bench", broker=URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"queue_order_strategy": "priority"},
    task_acks_late=True,
    task_ignore_result=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
)


@worker_process_init.connect
def _preload(**_: object) -> None:
    preloaded()


@app.task
def transcribe(job: Job) -> None:
    """Transcribe with the model of this process."""
    hear(preloaded(), job)


def submit(job: Job) -> None:
    """Queue a job."""
    transcribe.apply_async((job,), queue="interactive" if job["urgent"] else "batch")
