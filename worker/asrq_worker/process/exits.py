"""How a process ended."""

from __future__ import annotations

import contextlib
import signal
import sys


def describe_exit(code: int) -> str:
    """Return the signal or exit code that a process ended with, in words."""
    if code < 0 and sys.platform != "win32":
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
