"""Checks whether there is somebody to serve jobs."""

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


def warn_of_absence(client: Client) -> None:
    """Say on stderr if no worker or reaper runs, as far as this user may know."""
    try:
        if absence := serving.nobody(client.workers()):
            failure.note(f"{absence}.")
        if not client.reaper():
            failure.note("no reaper is there: what a worker that dies held does not come back (asrq reaper).")
    except QueueAuthError:  # a user that may not see them
        pass
