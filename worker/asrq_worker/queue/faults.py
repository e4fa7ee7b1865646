"""Fault points: places where a test has this process killed or stopped, to prove that nothing is lost there.

They do nothing unless `_ASRQ_FAULT` is set, to `<point>[:<nth time>][:kill|stop]`. The name begins with an underscore
because it is no setting: every name that begins with `ASRQ_` is one, or refused.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

VARIABLE = "_ASRQ_FAULT"


class _Fault:
    """The one point that was asked for, and how often it was reached."""

    def __init__(self, wanted: str) -> None:
        self._point, _, rest = wanted.partition(":")
        nth, _, how = rest.partition(":")
        self._left = int(nth or 1)
        self._stops = how == "stop"
        self._lock = threading.Lock()

    def reach(self, point: str) -> None:
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            strikes = self._left == 0
        if not strikes:
            return
        if sys.platform == "win32":
            os.kill(os.getpid(), signal.SIGTERM)  # there, this ends a process at once
        else:
            # To this very thread: another one might take the signal while this one still goes on.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP if self._stops else signal.SIGKILL)


_fault = _Fault(os.environ[VARIABLE]) if VARIABLE in os.environ else None


def reach(point: str) -> None:
    """Pass a fault point; a test may have this process end here."""
    if _fault is not None:
        _fault.reach(point)
