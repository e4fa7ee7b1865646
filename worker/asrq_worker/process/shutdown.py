"""Signals of a long-running command: the first asks it to end in good order, the second not to wait.

A failure that the command cannot go on after ends it in the same way.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from asrq_jobs.errors import AsrqError
from asrq_worker.process.flag import Flag

_STEP_S = 0.2
_ABORT_S = 30.0  # what hangs while it is given up must not keep the process
_SIGNALS = [signal.SIGINT, signal.SIGTERM]
if sys.platform == "win32":
    _SIGNALS.append(signal.SIGBREAK)  # the only one that a program there can send to another


class StartInterruptedError(BaseException):
    """A signal came while the command was still starting; it unwinds what has been started."""


class StopSignals:
    """Turns SIGINT and SIGTERM (on Windows also Ctrl-Break) into flags while it is entered.

    Until `started` is called a signal raises `StartInterruptedError` in the main thread; afterwards the first one
    sets `stop` and the next sets `hurry`. Handlers only set flags: locks may be held where they strike.
    """

    def __init__(self) -> None:
        self.stop = Flag()
        self.hurry = Flag()
        self.failure: AsrqError | None = None
        """Why the command was given up."""
        self._started = False
        self._previous: dict[int, signal.Handlers | int | object] = {}

    def started(self) -> None:
        """From now on signals ask instead of interrupting."""
        self._started = True

    def wait(self) -> None:
        """Wait for the first signal.

        In steps: a signal that strikes just before an unlimited wait is handled only when the wait ends.
        """
        while not self.stop.wait(_STEP_S):
            pass

    def abort(self, failure: AsrqError) -> None:
        """Have the command end at once, from any thread, because of a failure; the first one stays."""
        self.failure = self.failure or failure
        backstop = threading.Timer(_ABORT_S, os._exit, (1,))
        backstop.daemon = True
        backstop.start()
        self.hurry.set()
        if self._started:
            self.stop.set()
        else:
            os.kill(os.getpid(), signal.SIGTERM)  # which breaks the start off

    def __enter__(self) -> StopSignals:
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *raised: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)  # type: ignore[arg-type]  # what signal() itself returned

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.stop.is_set():
            self.hurry.set()
        self.stop.set()
        if not self._started:
            self._started = True
            raise StartInterruptedError
