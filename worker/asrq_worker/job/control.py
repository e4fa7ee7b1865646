"""What may stop a running job, and whether its thread still goes on."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from asrq_jobs.errors import AsrqError, DeadlineError


class JobControl:
    """Shared by the thread that runs a job and those that watch it.

    The running side calls `check` often, in all that it waits for; the watching side calls `stop` and `moving`.
    `wake` is set by `stop`, so that waits can end early.

    To wait is to move: how long a job may wait for bytes, a decoder or the engine is decided where it waits, with an
    error of its own. Only a thread that hangs does not move.
    """

    def __init__(
        self,
        *,
        patience_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
        afterwards: Callable[[Callable[[], None]], object] = lambda tidy: tidy(),
    ) -> None:
        """`patience_s`: how long the thread may take from one `check` to the next.

        `afterwards` is given what tidies up, to be called once the end of the job is written; unless it is given, that
        is called at once.
        """
        self.afterwards = afterwards
        self._clock = clock
        self._lock = threading.Lock()
        self._reason: AsrqError | None = None
        self._deadline: tuple[float, float] | None = None
        self._started = clock()
        self._patience_s = patience_s
        self._moved_at = self._started
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
        """Note that the job goes on, and raise the reason to stop, if there is one.

        Raises:
            AsrqError: CanceledError, ShutdownError or LeaseLostError as given to `stop`; DeadlineError when the
                time limit has passed.
        """
        self.moved()
        if self._reason is not None:
            raise self._reason
        if self._deadline is not None and self._clock() > self._deadline[0]:
            raise DeadlineError(
                f"The job did not finish within {self._deadline[1]:.0f} s.",
                hint="Give it a longer timeout (--timeout, timeout_s), or a faster worker.",
            )

    def moved(self) -> None:
        """Note that the job goes on, where it can no longer be stopped."""
        self._moved_at = self._clock()

    def moving(self) -> bool:
        """Whether the thread that runs the job has been heard of lately."""
        return self._clock() - self._moved_at <= self._patience_s
