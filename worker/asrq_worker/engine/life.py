"""The states of an engine, when it is started again after a failure, and how its end is told."""

from __future__ import annotations

import contextlib
import signal
import sys
from enum import StrEnum

LONGEST_BACKOFF_S = 30.0


class State(StrEnum):
    """Where the engine is in its life."""

    STOPPED = "stopped"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


def backoff_s(failures: int) -> float:
    """Return the pause before a restart after so many failures in a row: 0, 1, 2, 4 … 30 s."""
    return 0.0 if failures <= 1 else min(2.0 ** (failures - 2), LONGEST_BACKOFF_S)


def describe_exit(code: int) -> str:
    """Return the signal or exit code that a process ended with, in words."""
    if code < 0 and sys.platform != "win32":
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
