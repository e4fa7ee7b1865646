"""When a lane that is full will have room: what a client that was turned away is told to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from asrq_jobs import keys
from asrq_jobs.aio import AsyncClient
from asrq_jobs.connection import queue_errors
from asrq_jobs.errors import QueueError
from asrq_jobs.request import Lane
from asrq_worker.monitor.backlog import BacklogEstimate, LaneFacts

_PART = 0.1
"""Of the lane that is to be done by then: with one place alone, all that wait would come back for it."""
_LEAST_S, _MOST_S = 1, 60
"""OpenAI's clients heed no longer time."""
_FORGOTTEN_S = 120.0
"""A lane may have been empty since a look that is older, which says nothing of its pace."""


@dataclass
class _Looked:
    estimate: BacklogEstimate = field(default_factory=BacklogEstimate)
    at: float = 0.0


class Room:
    """Looks at a lane whenever a request finds it full; from the second look on it knows how fast the lane is."""

    def __init__(self, client: AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: s, of any that only goes forward."""
        self._client = client
        self._clock = clock
        self._looked: dict[str, _Looked] = {}

    async def expected_s(self, lane: Lane) -> int | None:
        """Return in how many seconds a tenth of what waits in a lane will have been done, from 1 to 60.

        None if that is not known: at the first look, or where this user of Redis may not look.
        """
        try:
            facts = await self._facts(lane)
        except QueueError:
            return None
        now = self._clock()
        looked = self._looked.get(lane)
        if looked is None or now - looked.at > _FORGOTTEN_S:
            looked = self._looked[lane] = _Looked()
        looked.at = now
        drain_s = looked.estimate.update(now, facts).drain_s
        return None if drain_s is None else round(min(max(drain_s * _PART, _LEAST_S), _MOST_S))

    async def _facts(self, lane: Lane) -> LaneFacts:
        with queue_errors(self._client.settings):
            waiting = await self._client.redis.llen(keys.queue(lane))
            audio_s, jobs = await self._client.redis.hmget(keys.STATS, [keys.audio_of(lane), keys.completed_of(lane)])
        return LaneFacts(waiting=int(waiting), audio_s=float(audio_s or 0), jobs=int(jobs or 0))
