"""How much waits in the lanes, and how long that takes: estimates that any gateway can make for itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field

from asrq_jobs import keys
from asrq_jobs.aio import AsyncClient
from asrq_jobs.connection import queue_errors
from asrq_jobs.errors import QueueError
from asrq_jobs.request import LANES, Lane
from asrq_worker.monitor.backlog import BacklogEstimate, LaneFacts

_FORGOTTEN_S = 120.0
"""After so long without a look the lanes may have been empty, which says nothing of their pace."""

_PART = 0.1
"""Of a lane that is to be done before a client comes back: for one place alone, all would come back at once."""
_LEAST_S, _MOST_S = 1, 60
"""OpenAI's clients heed no longer time."""


class LaneState(BaseModel):
    """A lane now. Jobs that wait for a retry count as waiting."""

    waiting: int
    running: int
    backlog_s: float | None = Field(description="Estimate of the audio that waits; null until a job has completed.")
    drain_s: float | None = Field(
        description="Estimate of the time until nothing waits any more; null where that is not known, or stands still."
    )


class Lanes:
    """Looks at the lanes when it is asked; from the second look on it knows how fast they are."""

    def __init__(self, client: AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: s, of any that only goes forward."""
        self._client = client
        self._clock = clock
        self._at = -math.inf
        self._estimates: dict[Lane, BacklogEstimate] = {}

    async def look(self) -> dict[Lane, LaneState]:
        """Return the state of the lanes, by two calls for any number of jobs.

        Raises:
            QueueError: Redis cannot be reached, or allows its user no look.
        """
        with queue_errors(self._client.settings):
            names: set[bytes] = await self._client.redis.execute_command("SMEMBERS", keys.RQ_QUEUES)  # type: ignore[no-untyped-call]  # redis-py's gap
            pipe = self._client.redis.pipeline(transaction=False)
            lists = {
                lane: [keys.queue(lane), *(keys.waiting(lane, n) for n in keys.needs(lane, names))] for lane in LANES
            }
            for lane, mine in lists.items():
                pipe.hmget(keys.STATS, [keys.audio_of(lane), keys.completed_of(lane)])
                pipe.zcard(keys.registry("wip", lane))
                pipe.zcard(keys.registry("scheduled", lane))
                for name in mine:
                    pipe.llen(name)
            answers = iter(await pipe.execute())
        now = self._clock()
        if now - self._at > _FORGOTTEN_S:
            self._estimates = {lane: BacklogEstimate() for lane in LANES}
        self._at = now
        return {
            lane: self._state(now, lane, [next(answers) for _ in range(3 + len(mine))]) for lane, mine in lists.items()
        }

    async def room_in_s(self, lane: Lane) -> int | None:
        """Return in how many seconds a tenth of what waits in a lane will have been done, from 1 to 60.

        None if that is not known: at the first look, or where this user of Redis may not look.
        """
        try:
            drain_s = (await self.look())[lane].drain_s
        except QueueError:
            return None
        return None if drain_s is None else round(min(max(drain_s * _PART, _LEAST_S), _MOST_S))

    def _state(self, now: float, lane: Lane, answers: list[Any]) -> LaneState:
        (audio_s, jobs), running, *waiting = answers
        facts = LaneFacts(sum(waiting), float(audio_s or 0), int(jobs or 0))
        backlog = self._estimates[lane].update(now, facts)
        drain_s = backlog.drain_s if backlog.drain_s is not None and math.isfinite(backlog.drain_s) else None
        return LaneState(waiting=facts.waiting, running=running, backlog_s=backlog.audio_s, drain_s=drain_s)
