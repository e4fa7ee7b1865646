"""What is known of a job when an attempt at it begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from asrq_jobs.request import Request
from asrq_jobs.result import Attempt


@dataclass(frozen=True)
class JobContext:
    """`attempts` ends with the one that begins; `earlier` of them do not count against the limit.

    `created_at` and `enqueued_at` are ISO 8601 as RQ writes them. `now` tells the time while the job runs, Unix s: that
    of Redis, or of this machine where there is no Redis.
    """

    request: Request
    attempts: tuple[Attempt, ...]
    earlier: int = 0
    created_at: str | None = None
    enqueued_at: str | None = None
    now: Callable[[], float] = time.time

    @property
    def queue_wait_s(self) -> float | None:
        """Seconds between the last enqueueing and the start."""
        if self.enqueued_at is None:
            return None
        waited = _parse(self.attempts[-1].started_at) - _parse(self.enqueued_at)
        return round(max(0.0, waited.total_seconds()), 4)


def _parse(at: str) -> datetime:
    return datetime.fromisoformat(at)
