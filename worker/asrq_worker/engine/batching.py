"""Which chunks form the next batch: a pure decision over the chunks that wait, that run and that ran before."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from asrq_jobs.request import LANES
from asrq_worker.engine.turns import BatchKey, Turns, WaitingChunk

SIMILAR_RATIO = 2.0
SIMILAR_S = 2.0
AHEAD = 4
"""A batch is chosen among so many times as many chunks as it holds: a job is passed over for a few batches at most."""


def _endless(_kind: BatchKey) -> float:
    return math.inf


@dataclass(frozen=True)
class BatchLimits:
    """What an engine takes."""

    max_batch: int = 1
    """Chunks in a batch."""
    parallel: int = 1
    """Batches at a time."""
    spare: int = 0
    """Further ones, for dictation while files have places (see `admitted`)."""
    audio_s: Callable[[BatchKey], float] = _endless
    """Seconds of audio in a batch of that kind; a chunk that is longer goes alone."""
    similar: bool = False
    """Whether the chunks of a batch are to have about the same length."""


def next_batch(
    waiting: Collection[WaitingChunk], running: Collection[WaitingChunk], turns: Turns, limits: BatchLimits
) -> list[WaitingChunk]:
    """Return the chunks to hand to the engine now; empty: wait for something to finish.

    `running` has one entry for each batch in flight (any of its chunks); `turns` knows the jobs of all that waits.
    Once it is the turn of a suspect, nothing goes until nothing runs. A batch is filled with chunks that suit its first
    one: of the same kind, not suspect, and with room for what each of them allows; of the next ones in turn, those that
    are nearest to it in length, which decode best together. Nothing waits for a batch to fill, what waits is shared
    among the batches that may run now, and none has chunks of two lanes: dictation would wait for the audio of files.
    """
    if not waiting or len(running) >= limits.parallel or any(chunk.suspect for chunk in running):
        return []
    first, *others = turns.order(waiting)
    if first.suspect:
        return [] if running else [first]
    suit = [
        chunk
        for chunk in others
        if not chunk.suspect
        and chunk.batch_key == first.batch_key
        and (not limits.similar or _similar(chunk.seconds, first.seconds))
    ]
    share = math.ceil((len(suit) + 1) / (limits.parallel - len(running)))
    batch, most = [first], min(limits.max_batch, first.most, share)
    room_s = limits.audio_s(first.batch_key) - first.weight
    for chunk in sorted(suit[: AHEAD * most], key=lambda chunk: abs(chunk.seconds - first.seconds)):
        if len(batch) >= most:
            break
        if len(batch) < chunk.most and chunk.weight <= room_s:
            batch.append(chunk)
            most = min(most, chunk.most)
            room_s -= chunk.weight
    return batch


def admitted(
    waiting: Collection[WaitingChunk], running: Collection[WaitingChunk], limits: BatchLimits
) -> tuple[Collection[WaitingChunk], BatchLimits]:
    """Return what may go now and within which limits: where files, or what nobody waits for, have taken a place,
    dictation gets a spare one."""
    taken, dictated = len(running), sum(chunk.lane == LANES[0] and not chunk.idle for chunk in running)
    if not limits.parallel <= taken < limits.parallel + limits.spare or dictated >= limits.parallel:
        return waiting, limits
    return [chunk for chunk in waiting if chunk.lane == LANES[0]], replace(limits, parallel=taken + 1)


def _similar(one: float, other: float) -> bool:
    shorter, longer = sorted((one, other))
    return longer <= shorter * SIMILAR_RATIO or longer - shorter <= SIMILAR_S
