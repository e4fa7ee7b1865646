"""Which chunks form the next batch: a pure decision over what waits, what runs and what was given before.

Nobody waits for ever, whatever else comes: each bound is a number of batches or places, so no clock is needed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from asrq_jobs.request import LANES
from asrq_worker.backends.base import ChunkOptions

SIMILAR_RATIO = 2.0
SIMILAR_S = 2.0
MOST_IN_A_ROW = 4
"""So many batches in a row go to the first lane while the other waits; the next one goes to the other."""
HEAD_START = 8
"""A job that comes goes before those of its lane that got one of the last so many places, but not before the others."""


@dataclass(frozen=True)
class Waiting:
    """A chunk in the queue. `number` grows in the order of arrival."""

    number: int
    job_id: str
    lane: str
    seconds: float
    options: ChunkOptions
    suspect: bool = False
    """It was in flight when the engine died: runs with nothing else in flight."""
    most: int = sys.maxsize
    """The largest batch that it may be in: a larger one did not fit into memory."""


class Turns:
    """What was given so far, as far as it decides whose turn it is."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._places = 0
        self._last: dict[str, int] = {}

    def join(self, job_id: str) -> None:
        """Note that a job has come, if it is not here."""
        self._last.setdefault(job_id, self._places - HEAD_START)

    def give(self, batch: Sequence[Waiting], left: Collection[Waiting]) -> None:
        """Note that a batch was handed to the engine while `left` goes on waiting."""
        passed_over = batch[0].lane == LANES[0] and any(chunk.lane != LANES[0] for chunk in left)
        self._in_a_row = self._in_a_row + 1 if passed_over else 0
        for chunk in batch:
            self._places += 1
            self._last[chunk.job_id] = self._places

    def keep(self, job_ids: Collection[str]) -> None:
        """Forget all jobs but these."""
        self._last = {job_id: last for job_id, last in self._last.items() if job_id in job_ids}

    def order(self, waiting: Collection[Waiting]) -> list[Waiting]:
        """Order chunks as if they were served one by one, each service moving its job to the end of its lane.

        If the first lane has had its places in a row, the first chunk of the other goes before all.
        """
        rounds: Counter[str] = Counter()
        keys: dict[int, tuple[int, bool, int, int]] = {}
        for chunk in sorted(waiting, key=lambda chunk: (not chunk.suspect, chunk.number)):
            earlier = rounds[chunk.job_id]
            rounds[chunk.job_id] += 1
            turn = self._places + earlier if earlier else self._last[chunk.job_id]
            keys[chunk.number] = (LANES.index(chunk.lane), not chunk.suspect, turn, chunk.number)
        order = sorted(waiting, key=lambda chunk: keys[chunk.number])
        if self._in_a_row >= MOST_IN_A_ROW:
            overdue = next((chunk for chunk in order if chunk.lane != LANES[0]), None)
            order.sort(key=lambda chunk: chunk is not overdue)
        return order


def next_batch(
    waiting: Collection[Waiting], running: Collection[Waiting], turns: Turns, *, max_batch: int, parallel: int
) -> list[Waiting]:
    """Return the chunks to hand to the engine now; empty: wait for something to finish.

    `running` has one entry for each batch in flight (any of its chunks); `turns` knows the jobs of all that waits.
    Lanes go by priority but for each batch after `MOST_IN_A_ROW`, jobs within a lane in turn, chunks within a job in
    order, suspects of a lane first: once it is the turn of one, nothing goes until nothing runs. A batch is filled with
    chunks that suit its first one: of the same kind, of similar length, not suspect, and with room for what each of
    them allows. Nothing waits for a batch to fill.
    """
    if not waiting or len(running) >= parallel or any(chunk.suspect for chunk in running):
        return []
    order = turns.order(waiting)
    first = order[0]
    if first.suspect:
        return [] if running else [first]
    batch, most = [first], min(max_batch, first.most)
    for chunk in order[1:]:
        if len(batch) < min(most, chunk.most) and _suits(chunk, first):
            batch.append(chunk)
            most = min(most, chunk.most)
    return batch


def _suits(chunk: Waiting, first: Waiting) -> bool:
    shorter, longer = sorted((chunk.seconds, first.seconds))
    return (
        not chunk.suspect
        and chunk.options.task == first.options.task
        and chunk.options.word_timestamps == first.options.word_timestamps
        and (longer <= shorter * SIMILAR_RATIO or longer - shorter <= SIMILAR_S)
    )
