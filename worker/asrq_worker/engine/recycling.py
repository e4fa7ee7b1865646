"""When a process is replaced although it serves: native libraries leak memory, and return it only at its end."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Recycling:
    """How much a process may serve before another takes its place; 0: no limit."""

    max_batches: int = 0
    max_rss_mb: int = 0

    def due(self, *, batches: int, rss_mb: int, fresh_mb: int) -> str | None:
        """Return why a process is to be replaced (`batches` or `memory`), or None.

        `fresh_mb` is what it took right after loading: a limit below that would be reached by every process at once.
        """
        if self.max_batches and batches >= self.max_batches:
            return "batches"
        if self.max_rss_mb and fresh_mb < self.max_rss_mb < rss_mb:
            return "memory"
        return None


NEVER = Recycling()


def plenty() -> float:
    """Return how much memory there is for a second process where nobody counts it."""
    return math.inf
