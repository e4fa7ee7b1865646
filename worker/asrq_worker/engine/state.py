"""The states of an engine, and what follows from the failures of its processes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from asrq_jobs.errors import AsrqError, SetupError, StorageError

FIRST_LOAD_TRIES = 3


class EngineState(StrEnum):
    """Where the engine is in its life."""

    STOPPED = "stopped"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass
class Failures:
    """Why an engine's processes failed, and what follows.

    One that never loaded is given up on a setup error (a restart would not help) or after `FIRST_LOAD_TRIES`, but
    not while there is no room to load it.
    """

    since_loaded: int = 0
    last: AsrqError | None = None
    """None once a process has loaded again."""
    final: bool = False
    restarts: Counter[str] = field(default_factory=Counter)
    """How often a process was started again, by the code of the error that ended the one before."""

    def note(self, error: AsrqError, in_a_row: int, *, has_loaded: bool) -> None:
        """Note a failure, with how many there were without a batch done between them."""
        self.since_loaded += 1
        self.last = error
        hopeless = isinstance(error, SetupError) or in_a_row >= FIRST_LOAD_TRIES
        self.final = hopeless and not has_loaded and not isinstance(error, StorageError)
        if not self.final:
            self.restarts[error.code] += 1

    def loaded(self) -> None:
        """Note that a process has loaded."""
        self.since_loaded = 0
        self.last = None

    @property
    def lasting(self) -> bool:
        """Whether it is no use to wait: given up, or two processes in a row did not load after one had served."""
        return self.final or self.since_loaded > 2
