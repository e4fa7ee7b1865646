"""How the end of a process is told, and how long to wait before it is started again."""

from __future__ import annotations

import contextlib
import signal
import sys

from asrq_worker.process.backoff import Backoff

_BACKOFF = Backoff(1.0, 30.0)


def restart_pause_s(failures: int) -> float:
    """Return the pause before a restart after so many failures in a row: 0, 1, 2, 4 … 30 s."""
    return _BACKOFF.pause_s(failures - 1)


def failures_in_a_row(before: int, age_s: float) -> int:
    """Count the end of a process of that age: one that lasted longer than the longest pause begins a new row."""
    return 1 if age_s > _BACKOFF.longest_s else before + 1


def describe_exit(code: int) -> str:
    """Return the signal or exit code that a process ended with, in words."""
    if code < 0 and sys.platform != "win32":
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
