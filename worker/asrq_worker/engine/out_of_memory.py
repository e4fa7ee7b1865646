"""What is done when memory runs out, one step at a time: pure decisions.

fewer chunks at once ──► shorter chunks ──► a fresh process ──► give up on this engine
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

SHORTEST_S = 5.0
"""A chunk is not cut into parts much shorter than this: models do badly on them, and they need little memory."""
GROW_EVERY_S = 30.0


class Step(StrEnum):
    """A step, under the name it has in events."""

    HALVE = "batch_halved"
    """Half the batch; in the end the chunk with nothing else in flight."""
    SPLIT = "chunk_split"
    RESTART = "engine_restarted"
    """Another process: memory may be fragmented, or leaked."""
    GIVE_UP = "given_up"


def next_step(*, batch: int, alone: bool, seconds: float, restarted: bool) -> Step:
    """Decide what to do with a chunk of `seconds` that did not fit into memory in a batch of so many.

    `alone`: no other batch was in flight. `restarted`: the process is another than the one it first did not fit into.
    """
    if batch > 1 or not alone:
        return Step.HALVE
    if can_be_split(seconds):
        return Step.SPLIT
    return Step.GIVE_UP if restarted else Step.RESTART


def can_be_split(seconds: float) -> bool:
    """Whether a chunk is long enough to be cut in two."""
    return seconds >= 2 * SHORTEST_S


class Allowance:
    """How many of something go at once: lowered when they did not fit, and one more again every `GROW_EVERY_S`.

    So it costs one failure in a while to stay near what fits, rather than one failure each time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lowered_to: int | None = None
        self._lowered_at = 0.0

    def of(self, most: int) -> int:
        """Return how many may go now, where `most` would if memory were no matter."""
        if self._lowered_to is None:
            return most
        grown = self._lowered_to + int((self._clock() - self._lowered_at) / GROW_EVERY_S)
        if grown >= most:
            self._lowered_to = None
        return min(grown, most)

    def halve(self, too_many: int) -> None:
        """Note that so many did not fit."""
        self._lowered_to = max(min(too_many // 2, self.of(too_many)), 1)
        self._lowered_at = self._clock()
