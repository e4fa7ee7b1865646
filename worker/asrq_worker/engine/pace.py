"""How fast an engine is: seconds of compute for a second of audio, from the batches that it has finished."""

from __future__ import annotations

import math
from collections import defaultdict, deque

from asrq_worker.engine.turns import BatchKey

REMEMBERED = 20


class Pace:
    """For each kind of batch, the median of the last ones, each weighed by its audio.

    So batches of much audio, which are what has to be foretold, count most, and one that took long for reasons of its
    own (a stretch that was heard twice, a host that stood still) counts for nothing.
    """

    def __init__(self) -> None:
        self._seen: defaultdict[BatchKey, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=REMEMBERED))

    def note(self, kind: BatchKey, *, audio_s: float, took_s: float) -> None:
        """Note a batch that is done."""
        self._seen[kind].append((took_s / audio_s, audio_s))

    def of(self, kind: BatchKey, *, unknown: float) -> float:
        """Return the seconds of compute for a second of audio; `unknown` if no such batch was seen."""
        seen = sorted(self._seen[kind])
        half = sum(audio_s for _, audio_s in seen) / 2
        for pace, audio_s in seen:
            half -= audio_s
            if half <= 0:
                return pace
        return unknown

    def audio_s(self, within_s: float, kind: BatchKey, *, unknown: float) -> float:
        """Return how many seconds of audio take so many seconds of compute; `unknown` as in `of`."""
        pace = self.of(kind, unknown=unknown)
        return within_s / pace if pace else math.inf
