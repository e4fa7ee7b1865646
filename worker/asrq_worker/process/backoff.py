"""Exponential back-off: how long to wait before the next try of what has failed."""

from __future__ import annotations

from dataclasses import dataclass

_DOUBLINGS = 64  # more than any limit needs; 2.0 ** 1024 would be too large for a float


@dataclass(frozen=True)
class Backoff:
    """Pauses in seconds: `first_s` after the first failure, then twice as long each time, up to `longest_s`."""

    first_s: float
    longest_s: float

    def pause_s(self, failures: int, *, jitter: float = 0.5) -> float:
        """Return the pause after so many failures in a row; 0 after none.

        `jitter`, a random number in [0, 1), spreads the pauses of those that failed together over half their length,
        from three to five quarters of it; 0.5 changes nothing.
        """
        if failures < 1:
            return 0.0
        pause_s = min(self.first_s * 2.0 ** min(failures - 1, _DOUBLINGS), self.longest_s)
        return pause_s * (0.75 + jitter / 2)
