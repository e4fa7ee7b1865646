"""What may stop a running job, and whether it still moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from asrq_jobs.errors import AsrqError, DeadlineError


class JobControl:
    """Shared by the thread that runs a job and those that watch it.

    The running side calls `check` often and `moved` on progress; the watching side calls `stop` and `moving`.
    `wake` is set by `stop`, so that waits can end early.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reason: AsrqError | None = None
        self._deadline: tuple[float, float] | None = None
        self._started = clock()
        self._patience_until = float("inf")
        self._patience_s = float("inf")
        self.wake = threading.Event()

    def stop(self, reason: AsrqError) -> None:
        """End the job with this error at its next check; the first reason stays."""
        with self._lock:
            self._reason = self._reason or reason
        self.wake.set()

    def limit(self, seconds: float) -> None:
        """Set the time limit of the attempt, seconds from its start."""
        self._deadline = (self._started + seconds, seconds)

    def check(self) -> None:
        """Raise the reason to stop, if there is one.

        Raises:
            AsrqError: CanceledError, ShutdownError or LeaseLostError as given to `stop`; DeadlineError when the
                time limit has passed.
        """
        if self._reason is not None:
            raise self._reason
        if self._deadline is not None and self._clock() > self._deadline[0]:
            raise DeadlineError(
                f"The job did not finish within {self._deadline[1]:.0f} s.",
                hint="Give it a longer timeout_s, or a faster worker.",
            )

    def expect(self, patience_s: float) -> None:
        """Enter a phase in which `moved` is called at least every `patience_s` seconds."""
        self._patience_s = patience_s
        self.moved()

    def moved(self) -> None:
        """Note progress."""
        self._patience_until = self._clock() + self._patience_s

    def moving(self) -> bool:
        """Whether the last progress is recent enough for the phase the job is in."""
        return self._clock() <= self._patience_until
