"""Whose turn it is: lanes by priority, within a bound, and the jobs of a lane by equal shares of audio.

Within a lane this is self-clocked fair queueing (S. J. Golestani, INFOCOM 1994): on the clock of its lane, a chunk
finishes as many seconds after the job's last one as it has audio; what finishes first goes first, and the clock stands
at what went last. Nobody waits forever: each bound is a number of seconds of audio, so no time is read.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from asrq_jobs.request import LANES, Task
from asrq_worker.backends.base import ChunkOptions

LANE_RATIO = 4.0
"""While both lanes wait, the first one gets so many times the audio of the other."""
HEAD_START_S = 30.0
"""The first chunk of a job goes before those that finish up to so much earlier."""
LEAST_S = 1.0
"""A chunk counts as at least so much audio: what is short takes more of an engine than its length says."""

BatchKey = tuple[str, Task, bool]


@dataclass(frozen=True)
class WaitingChunk:
    """A chunk in the queue. `number` grows in the order of arrival."""

    number: int
    flow: str
    lane: str
    seconds: float
    options: ChunkOptions
    suspect: bool = False
    """It was in flight when the engine died: runs with nothing else in flight."""
    most: int = sys.maxsize
    """The largest batch that it may be in: a larger one did not fit into memory."""
    idle: bool = False
    """Only to be heard while the engine has nothing else to do."""

    @property
    def weight(self) -> float:
        """Seconds of audio that it counts as."""
        return max(self.seconds, LEAST_S)

    @property
    def batch_key(self) -> BatchKey:
        """Lane, task and whether words get times: the same for all chunks of a batch."""
        return self.lane, self.options.task, self.options.word_timestamps


@dataclass
class _Flow:
    finish: float
    """When, on the clock of its lane, what it was given finishes; before that, when it came."""
    served: bool = False


class Turns:
    """What was given so far, as far as it decides whose turn it is."""

    def __init__(self) -> None:
        self._clocks: dict[str, float] = dict.fromkeys(LANES, 0.0)
        self._flows: dict[str, _Flow] = {}
        self._owed_s = 0.0
        """Seconds of audio that the other lane is behind its share; below 0: ahead. It never has two batches for it."""

    def join(self, flow: str, lane: str) -> None:
        """Note that a job has come, if it is not here."""
        self._flows.setdefault(flow, _Flow(self._clocks[lane]))

    def give(self, batch: Sequence[WaitingChunk], left: Collection[WaitingChunk]) -> None:
        """Note that a batch, all of one lane, was handed to the engine while `left` goes on waiting."""
        lane, given_s = batch[0].lane, sum(chunk.weight for chunk in batch)
        finish = self._flows[batch[0].flow].finish + batch[0].weight
        self._clocks[lane] = max(self._clocks[lane], finish)
        for chunk in batch:
            job = self._flows[chunk.flow]
            job.finish += chunk.weight
            job.served = True
        if not any(chunk.lane != lane for chunk in left):
            self._owed_s = 0.0
        elif lane == LANES[0]:
            self._owed_s += given_s / LANE_RATIO
        else:
            self._owed_s = min(self._owed_s - given_s, 0.0)

    def keep(self, flows: Collection[str]) -> None:
        """Forget all jobs but these."""
        self._flows = {flow: job for flow, job in self._flows.items() if flow in flows}

    def order(self, waiting: Collection[WaitingChunk]) -> list[WaitingChunk]:
        """Return what waits in the lane whose turn it is, first what goes first; suspects before the others."""
        first, other = (self._in_lane([chunk for chunk in waiting if chunk.lane == lane]) for lane in LANES)
        overdue = bool(other) and self._owed_s >= other[0].weight
        return other if overdue or not first else first

    def _in_lane(self, waiting: Collection[WaitingChunk]) -> list[WaitingChunk]:
        finish: dict[str, float] = {}
        keys: dict[int, tuple[bool, float, int]] = {}
        for chunk in sorted(waiting, key=lambda chunk: (not chunk.suspect, chunk.number)):
            job = self._flows[chunk.flow]
            new = not job.served and chunk.flow not in finish
            finish[chunk.flow] = finish.get(chunk.flow, job.finish) + chunk.weight
            due = finish[chunk.flow] - (HEAD_START_S if new else 0.0)
            keys[chunk.number] = (not chunk.suspect, due, chunk.number)
        return sorted(waiting, key=lambda chunk: keys[chunk.number])
