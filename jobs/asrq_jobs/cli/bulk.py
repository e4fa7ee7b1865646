"""Do the same to several jobs: if one fails, the others still get their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from asrq_jobs import configuration
from asrq_jobs.cli import failure, printing
from asrq_jobs.client import Client
from asrq_jobs.errors import AsrqError


def for_each(job_ids: Iterable[str], act: Callable[[Client, str], None], *, as_json: bool) -> bool:
    """Call `act` for each job, report those that fail, and return whether any did.

    Raises:
        AsrqError: one that every other job would meet, too, such as a queue that cannot be reached.
    """
    any_failed = False
    with Client(configuration.load()) as client:
        for job_id in job_ids:
            try:
                act(client, job_id)
            except AsrqError as error:
                if failure.concerns_all(error):
                    raise
                any_failed = True
                if as_json:
                    printing.give_json({"id": job_id, "error": error.info().model_dump()})
                failure.say(error)
    return any_failed
