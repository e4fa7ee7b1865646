"""How much audio waits in a lane, and how long it will take: estimates from what Redis tells for next to nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

_RECENT_JOBS = 50
_RECENT_S = 600.0
"""Of busy time: long enough for files of an hour, which are completed all at once."""
_PATIENCE_S = 60.0
"""So long a lane must have been busy without a completed job before it counts as standing still."""


@dataclass(frozen=True)
class LaneFacts:
    """A lane at one moment. `waiting` counts jobs; `audio_s` and `jobs` grow with every job that is completed."""

    waiting: int
    audio_s: float
    jobs: int


@dataclass(frozen=True)
class Backlog:
    """Estimates for a lane; None where nothing is known to base one on."""

    audio_s: float | None
    drain_s: float | None


class BacklogEstimate:
    """Follows one lane.

    The mean length is that of recent jobs, of all jobs at first. The pace is the audio transcribed while jobs waited
    all along: whenever none did, the workers may have been idle, which says nothing of what they can do.
    """

    def __init__(self) -> None:
        self._last: tuple[float, LaneFacts] | None = None
        self._audio_s = 0.0
        self._jobs = 0.0
        self._busy_audio_s = 0.0
        self._busy_s = 0.0

    def update(self, now: float, facts: LaneFacts) -> Backlog:
        """Take a look at `now` (s, of any clock that only goes forward) into account and return the estimate."""
        if self._last is None or facts.jobs < self._last[1].jobs:  # the first, or Redis has lost its data
            self._audio_s, self._jobs = (facts.audio_s / facts.jobs, 1.0) if facts.jobs else (0.0, 0.0)
        else:
            at, before = self._last
            self._advance(now - at, before, facts)
        self._last = now, facts
        return self._estimate(facts.waiting)

    def _advance(self, elapsed_s: float, before: LaneFacts, facts: LaneFacts) -> None:
        audio_s, jobs = facts.audio_s - before.audio_s, facts.jobs - before.jobs
        fading = math.exp(-jobs / _RECENT_JOBS)
        self._audio_s = self._audio_s * fading + audio_s
        self._jobs = self._jobs * fading + jobs
        if before.waiting and facts.waiting:
            fading = math.exp(-elapsed_s / _RECENT_S)
            self._busy_audio_s = self._busy_audio_s * fading + audio_s
            self._busy_s = self._busy_s * fading + elapsed_s

    def _estimate(self, waiting: int) -> Backlog:
        if not waiting:
            return Backlog(0.0, 0.0)
        if not self._jobs:
            return Backlog(None, None)
        audio_s = waiting * self._audio_s / self._jobs
        if self._busy_audio_s:
            return Backlog(audio_s, audio_s * self._busy_s / self._busy_audio_s)
        return Backlog(audio_s, math.inf if self._busy_s >= _PATIENCE_S else None)
