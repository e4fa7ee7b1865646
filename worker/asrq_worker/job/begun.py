"""What a queue says when an attempt begins, and what may be said of its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from asrq_jobs.result import Attempt

BeginVerdict = Literal["started", "taken", "gone", "done"]
EndVerdict = Literal["completed", "failed", "canceled", "retry", "front"]


@dataclass(frozen=True)
class Begun:
    """How it began. `attempts` ends with the one begun; `earlier` of them do not count against the limit.

    `now` tells the time while the job runs, Unix s: that of Redis, or of this machine where there is no Redis.
    """

    verdict: BeginVerdict
    attempts: tuple[Attempt, ...]
    canceled: bool
    earlier: int
    now: Callable[[], float] = time.time
