"""asrq through its Python client, files uploaded."""

from __future__ import annotations

import threading
from functools import cache

from asrq_jobs import Client
from asrq_jobs.errors import AudioError
from asrq_jobs.languages import AUTO
from systems.contenders.hearing import Job, answer


@cache
def _client() -> Client:
    return Client()


def submit(job: Job) -> None:
    """Submit a job, and answer it when it ends."""
    lane = "interactive" if job["urgent"] else "batch"
    try:
        submitted = _client().submit_file(job["path"], lane=lane, language=job["language"] or AUTO)
    except AudioError:  # a file without a byte is not even sent
        answer(job, None)
        return
    threading.Thread(target=lambda: answer(job, _client().wait(submitted.id).text), daemon=True).start()
