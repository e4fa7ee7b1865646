"""The states of an engine, when its process is started anew or replaced, and how the end of one is told."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from asrq_jobs.errors import AsrqError, SetupError, StorageError
from asrq_worker.process.restart import restart_pause_s

FIRST_LOAD_TRIES = 3


class State(StrEnum):
    """Where the engine is in its life."""

    STOPPED = "stopped"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass
class Failures:
    """Why an engine's processes failed, and what follows.

    One that never loaded is given up on a setup error (a restart would not mend it) or after `FIRST_LOAD_TRIES`, but
    not while there is no room to load it.
    """

    in_a_row: int = 0
    """Without a batch done between them."""
    since_loaded: int = 0
    last: AsrqError | None = None
    """None once a process has loaded again."""
    final: bool = False
    restarts: Counter[str] = field(default_factory=Counter)
    """How often a process was started again, by the code of the error that ended the one before."""

    def note(self, error: AsrqError, *, has_loaded: bool) -> float:
        """Note a failure and return the seconds until the next start; infinity: there is none."""
        self.in_a_row += 1
        self.since_loaded += 1
        self.last = error
        hopeless = isinstance(error, SetupError) or self.in_a_row >= FIRST_LOAD_TRIES
        self.final = hopeless and not has_loaded and not isinstance(error, StorageError)
        if self.final:
            return math.inf
        self.restarts[error.code] += 1
        return restart_pause_s(self.in_a_row)

    def loaded(self) -> None:
        """Note that a process has loaded."""
        self.since_loaded = 0
        self.last = None

    @property
    def lasting(self) -> bool:
        """Whether it is no use to wait: given up, or two processes in a row did not load after one had served."""
        return self.final or self.since_loaded > 2


@dataclass(frozen=True)
class Wear:
    """How much a process may serve before another takes its place; 0: no limit."""

    max_batches: int = 0
    max_rss_mb: int = 0

    def reached(self, *, batches: int, rss_mb: int, fresh_mb: int) -> str | None:
        """Return why a process is to be replaced (`batches` or `memory`), or None.

        `fresh_mb` is what it took right after loading: a limit below that would be reached by every process at once.
        """
        if self.max_batches and batches >= self.max_batches:
            return "batches"
        if self.max_rss_mb and fresh_mb < self.max_rss_mb < rss_mb:
            return "memory"
        return None


NEVER = Wear()


def plenty() -> float:
    """Return how much memory there is for a second process where nobody counts it."""
    return math.inf
