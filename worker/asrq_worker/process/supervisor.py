"""Keeps child processes running: starts them, kills those that are past a deadline, replaces those that end.

    starting ──► ready ──► ended ──back-off──► another one starts
        └──────────┴─ a deadline passes: killed ─┘

What a process is for, and what its deadlines are, is up to the kinds of `ChildProcess`; how many there are to be and
what a failure means, to the kinds of `Supervisor`.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from asrq_jobs.errors import AsrqError, ShutdownError
from asrq_worker.process.backoff import Backoff
from asrq_worker.process.child import Child
from asrq_worker.process.stdio import Message
from asrq_worker.process.supervision import Supervised

RESTARTS = Backoff(1.0, 30.0)
"""Pauses before a process is started again, from the second failure in a row; after the first there is none."""
OVERSLEPT_S = 1.0
"""A supervisor that wakes this much late was stopped itself (a suspended host): the process gets another chance."""
STUCK_S = 5.0
"""How long after a deadline the supervisor may take to act, and the system to end a process that it has killed."""
_WATCHDOG_S = 5.0  # it may be starting a process
_CLOSE_S = 5.0


class ChildProcess(ABC):
    """One child process from its start to its end.

    `ready`: it can work; `retiring`: it takes no more work, and its end is no failure; `reason`: why it was killed, or
    has ended. Everything but `close` is for holders of the supervisor's lock, and so are the methods that kinds define.
    """

    def __init__(
        self,
        supervisor: Supervisor[Any],
        module: str,
        *,
        start_s: float,
        env: dict[str, str] | None = None,
        files: bool = False,
    ) -> None:
        """Start `python -m module`, which is to be ready within `start_s` seconds. `env`, `files`: see `Child`.

        Raises:
            OSError: no memory, process or thread for it now.
        """
        self.ready = False
        self.retiring = False
        self.reason: AsrqError | None = None
        self.started_at = time.monotonic()
        self._supervisor = supervisor
        self._lock = supervisor.changed
        self._start_s = start_s
        self._ready_by = self.started_at + start_s
        self._killed_at = math.inf
        self._child = Child(module, on_message=self.on_message, on_exit=self._on_exit, env=env, files=files)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @abstractmethod
    def on_message(self, message: Message) -> None:
        """Take a message; called in the process's reader thread, without the lock."""

    @abstractmethod
    def on_death(self, code: int) -> AsrqError:
        """Return what is to be said of a process that ended by itself with this exit code."""

    @abstractmethod
    def late(self, now: float) -> AsrqError:
        """Return what is to be said of a process that is past its deadline."""

    def on_gone(self) -> None:  # noqa: B027  # a hook: not every kind has somebody who waits
        """Tell those who wait for this process of its end; called in its reader thread, without the lock."""

    def work_deadline(self) -> float:
        """Return when, on the monotonic clock, what it works on will be late; infinity: it need not end."""
        return math.inf

    def extend(self, now: float) -> None:
        """Give what it does its time anew."""
        self._ready_by = now + self._start_s

    def has_become_ready(self) -> None:
        """Note that it can work."""
        self.ready = True
        self._supervisor.on_ready(self)
        self._lock.notify_all()

    def deadline(self) -> float:
        """Return when, on the monotonic clock, it will be late; infinity: nothing is awaited."""
        if self.reason is not None:  # it is about to be reaped
            return math.inf
        return self.work_deadline() if self.ready else self._ready_by

    def enforce(self, now: float) -> None:
        """Kill it if it is late; a supervisor that comes much too late itself gives it more time."""
        due = self.deadline()
        if now - due > OVERSLEPT_S:
            self.extend(now)
        elif now >= due:
            self.kill(self.late(now))

    def stuck(self, now: float) -> bool:
        """Whether it is long past a deadline, or a kill did not end it (a driver that hangs can hold it)."""
        return now > min(self.deadline(), self._killed_at) + STUCK_S

    def kill(self, reason: AsrqError) -> None:
        """End it at once; the first reason stays."""
        self.reason = self.reason or reason
        self._killed_at = min(self._killed_at, time.monotonic())
        self._child.kill()

    def end(self, reason: AsrqError) -> None:
        """Begin to end it, as `close` will."""
        self.kill(reason)

    def close(self) -> None:
        """Wait, without the lock, until it is gone."""
        self._child.close(_CLOSE_S)

    def _on_exit(self, code: int) -> None:
        with self._lock:
            self.reason = self.reason or self.on_death(code)
            self._supervisor.on_end(self, self.reason)
        self.on_gone()


P = TypeVar("P", bound=ChildProcess)


class Supervisor(ABC, Generic[P]):
    """Keeps `count` processes running, from `start` to `close`. `changed` is its lock, and tells of each change.

    Everything that begins with `on_`, `launch` and `failed` is called with the lock held.
    """

    def __init__(self, name: str, *, count: int = 1) -> None:
        self.changed = threading.Condition()
        self.processes: list[P] = []
        """Those that live, the oldest first."""
        self.failures_in_a_row = 0
        self.refusal: AsrqError | None = None
        """The failure after which no more processes are started."""
        self._count = count
        self._start_at = 0.0
        self._looks_at = math.inf
        self._closing = False
        self._watchdog = Supervised(f"{name}-watchdog", self._watch)

    @abstractmethod
    def launch(self) -> P:
        """Start a process.

        Raises:
            AsrqError: that is not possible now.
        """

    def on_ready(self, process: P) -> None:  # a hook: not every kind wants to know
        """Note that a process can work."""

    def on_end(self, process: P, reason: AsrqError) -> None:
        """Note that a process is gone."""
        if not (process.retiring or self._closing):
            self._note(reason, process)
        self.processes.remove(process)
        self.changed.notify_all()

    def failed(self, reason: AsrqError, process: P | None) -> float:
        """Note that a process ended, or could not be started (None); return the seconds until the next start.

        Infinity: there is none.
        """
        del reason, process
        self.failures_in_a_row += 1
        return RESTARTS.pause_s(self.failures_in_a_row - 1)

    def look_by(self, due: float) -> None:
        """Have a deadline, on the monotonic clock, seen to; called with the lock held. As a rule nobody has to wake."""
        if due < self._looks_at:
            self.changed.notify_all()

    def start(self) -> None:
        """Begin to start processes."""
        self._watchdog.start()

    def serve(self) -> None:
        """Start, and wait until as many processes as are wanted can work.

        Raises:
            AsrqError: a failure after which no more are started.
            ShutdownError: it was closed meanwhile.
        """

        def decided() -> bool:
            return (
                self._closing or self.refusal is not None or sum(each.ready for each in self.processes) >= self._count
            )

        try:
            Supervisor.start(self)
            with self.changed:
                self.changed.wait_for(decided)
                if self.refusal is not None:
                    raise self.refusal
                if self._closing:
                    raise ShutdownError("The worker is stopping.")
        except BaseException:  # a signal, too: nobody else would close it
            self.close()
            raise

    def close(self) -> None:
        """End the processes and wait until they are gone."""
        with self.changed:
            self._closing = True
            self._watchdog.stop()
            self.changed.notify_all()
        self._watchdog.join(_WATCHDOG_S)
        with self.changed:
            processes = list(self.processes)
            for process in processes:
                process.end(ShutdownError("The worker is stopping."))
        for process in processes:
            process.close()

    def _note(self, reason: AsrqError, process: P | None) -> None:
        pause_s = self.failed(reason, process)
        if pause_s == math.inf:
            self.refusal = reason
        self._start_at = time.monotonic() + pause_s
        self.changed.notify_all()

    # The watchdog's thread

    def _watch(self) -> None:
        while True:
            with self.changed:
                if self._closing:
                    return
                now = time.monotonic()
                due = self._act(now)
                # No later than it was to: what begins before then is due later still, and need not wake this thread.
                self._looks_at = min(due, self._looks_at) if self._looks_at > now else due
                news = self._news()
                if news is None:
                    self.changed.wait(min(max(self._looks_at - time.monotonic(), 0.0), threading.TIMEOUT_MAX))
            if news is not None:
                news()

    def _news(self) -> Callable[[], None] | None:
        """Return what is to be called, without the lock, because of what has changed."""
        return None

    def _act(self, now: float) -> float:
        """Do what is due; return when, on the monotonic clock, something else will be."""
        for process in self.processes:
            process.enforce(now)
        while len(self.processes) < self._count and now >= self._start_at:
            try:
                self.processes.append(self.launch())
            except AsrqError as error:
                self._note(error, None)
        dues = [process.deadline() for process in self.processes]
        return min(dues if len(dues) >= self._count else [*dues, self._start_at], default=math.inf)
