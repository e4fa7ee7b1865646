"""Which chunks form the next batch: a pure decision over what waits and what runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asrq_jobs.request import LANES
from asrq_worker.backends.base import ChunkOptions

SIMILAR_RATIO = 2.0
SIMILAR_S = 2.0


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


def next_batch(
    waiting: Sequence[Waiting], running: Sequence[Waiting], served: Mapping[str, int], *, max_batch: int, parallel: int
) -> list[Waiting]:
    """Return the chunks to hand to the engine now; empty: wait for something to finish.

    `running` has one entry for each batch in flight (any of its chunks); `served` says for each job when it was
    last given a place (a growing number; absent: never). Lanes go by priority, jobs within a lane in turn, chunks
    within a job in order, suspects of a lane first. A batch is filled with chunks that suit its first one: of the
    same kind, of similar length, not suspect, and with room for what each of them allows. Nothing waits for a batch to
    fill.
    """
    if not waiting or len(running) >= parallel or any(chunk.suspect for chunk in running):
        return []
    order = _in_turn(waiting, served)
    first = order[0]
    if first.suspect:
        return [] if running else [first]
    batch, most = [first], min(max_batch, first.most)
    for chunk in order[1:]:
        if len(batch) < min(most, chunk.most) and _suits(chunk, first):
            batch.append(chunk)
            most = min(most, chunk.most)
    return batch


def _in_turn(waiting: Sequence[Waiting], served: Mapping[str, int]) -> list[Waiting]:
    """Order chunks as if they were served one by one, each service moving its job to the end of its lane."""
    turns: dict[str, int] = {}
    latest = max(served.values(), default=0)
    keys: dict[int, tuple[int, bool, int, int]] = {}
    for chunk in sorted(waiting, key=lambda chunk: (not chunk.suspect, chunk.number)):
        rounds = turns.get(chunk.job_id, 0)
        turns[chunk.job_id] = rounds + 1
        turn = served.get(chunk.job_id, 0) if rounds == 0 else latest + rounds
        keys[chunk.number] = (LANES.index(chunk.lane), not chunk.suspect, turn, chunk.number)
    return sorted(waiting, key=lambda chunk: keys[chunk.number])


def _suits(chunk: Waiting, first: Waiting) -> bool:
    shorter, longer = sorted((chunk.seconds, first.seconds))
    return (
        not chunk.suspect
        and chunk.options.task == first.options.task
        and chunk.options.word_timestamps == first.options.word_timestamps
        and (longer <= shorter * SIMILAR_RATIO or longer - shorter <= SIMILAR_S)
    )
