"""Where a running job leaves its trace, as the attempt sees it: without a queue there is another one than with it."""

from __future__ import annotations

from typing import Literal, Protocol

from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_worker.job.checkpoints import Kept


class Journal(Kept, Protocol):
    """Where a running job leaves its trace (events for clients, finished chunks for a later attempt), and finds that of
    others."""

    def event(self, event: Event) -> None:
        """Publish an event."""

    def conclude(self, *events: Event) -> None:
        """Publish events of the last finished stretch at the latest with the end of the job, which follows at once."""

    def reuse(self, key: str) -> Result | Literal["busy"] | None:
        """Return the result of an earlier job with this `cache_key`; "busy": another job is at it, ask again.

        None: this job is to make the result, and others may wait for it.
        """
