"""Checks before a submission whether there are workers for the job."""

from __future__ import annotations

from typing import Any

from asrq_jobs import serving
from asrq_jobs.cli import failure
from asrq_jobs.client import Client
from asrq_jobs.errors import QueueAuthError


def consult(client: Client, fields: dict[str, Any]) -> None:
    """Refuse a backend that nobody knows, and remark that no worker which serves what `fields` name runs now.

    Raises:
        NotServedError: nobody knows the backend.
        QueueError: Redis cannot be reached or refuses.
    """
    backend, model = fields.get("backend"), fields.get("model")
    if backend is None and model is None:
        return
    try:
        workers, there = client.workers(stopped=True), client.workers()
    except QueueAuthError:  # this user of Redis may not know; a worker will
        return
    if backend is not None:
        serving.refuse_unknown(backend, workers)
    if remark := serving.absence(backend, model, workers, there):
        failure.note(remark)
