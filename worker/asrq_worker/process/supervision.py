"""Threads that the process cannot do without: should one of them end, so does the process, rather than go on without.

The supervisor of the process (systemd, an engine for containers, a person) then starts it again. What such a thread
does again and again survives what goes wrong once: see `asrq_worker.queue.loop`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from weakref import WeakSet

from asrq_jobs.errors import AsrqError, InternalError
from asrq_worker.process.flag import Flag
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.supervision")

IDLE_S = 1.2
"""What an idle thread that was told to stop gets to notice it and to say goodbye: longer than its waits."""
_LOOK_S = 0.05

_lock = threading.Lock()
_all: WeakSet[Supervised] = WeakSet()
_on_failure: Callable[[AsrqError], None] | None = None


def on_failure(tell: Callable[[AsrqError], None] | None) -> None:
    """Say who ends the process: it is told, in the thread's last moment, that one has ended although it must not."""
    global _on_failure  # noqa: PLW0603  # there is one process to end
    _on_failure = tell


def missing() -> list[str]:
    """Return the names of the threads that should run now and do not."""
    with _lock:
        threads = list(_all)
    return sorted(thread.name for thread in threads if thread.missing)


class Supervised:
    """A daemon thread. `run` is to return soon after `stopping` is set; to raise, or to return earlier, is a failure.

    `busy` is for `run` to set while it is in the middle of something that should be finished before the process ends;
    `abandoned`: it was told to stop and left behind.
    """

    def __init__(self, name: str, run: Callable[[], object], *, ends: bool = False) -> None:
        """`ends`: it may return by itself."""
        self.name = name
        self.stopping = threading.Event()
        self.busy = False
        self.abandoned = False
        self._run = run
        self._ends = ends
        self._failed = False
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Start it.

        Raises:
            RuntimeError: the system has no thread for it now.
        """
        self._thread.start()
        with _lock:
            _all.add(self)

    def stop(self) -> None:
        """Tell it to end."""
        self.stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until it has ended, or for so long; whether it has, or never began."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Tell it to end, and wait for that as long as `wind_down` does."""
        self.stop()
        wind_down([self])

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    @property
    def missing(self) -> bool:
        """Whether it should run and does not."""
        needed = self._thread.ident is not None and not (self._ends or self.stopping.is_set())
        return self._failed or (needed and not self._thread.is_alive())

    def _main(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001  # whatever it is, the thread has ended
            self._fail(error)
        else:
            if not (self._ends or self.stopping.is_set()):
                self._fail(None)

    def _fail(self, error: BaseException | None) -> None:
        if self.abandoned:  # and what it used closed under it
            return
        self._failed = not self.stopping.is_set()
        tell = _on_failure
        try:
            if error is None:
                _log.error("thread.ended", thread=self.name)
            else:
                _log.defect("thread.ended", error, thread=self.name)
        finally:
            if self._failed and tell is not None:
                because = f" ({type(error).__name__})" if error is not None else ""
                tell(
                    InternalError(
                        f"The thread {self.name} of asrq has ended{because}; the process ends with it.",
                        hint="Have a supervisor start it again, and please report the traceback in its log.",
                    )
                )


def wait_while_busy(threads: Sequence[Supervised], within_s: float, *, hurry: Flag | None = None) -> bool:
    """Wait until none of the threads is busy; False if one still is after so many seconds, or when `hurry` is set."""
    give_up_at = time.monotonic() + within_s
    while any(thread.busy and thread.alive for thread in threads):
        if time.monotonic() >= give_up_at or (hurry is not None and hurry.is_set()):
            return False
        time.sleep(_LOOK_S)
    return True


def wind_down(
    threads: Sequence[Supervised],
    *,
    well: Callable[[], bool] = lambda: True,
    cut: Callable[[], object] = lambda: None,
) -> None:
    """Wait for the end of threads that were told to stop and hold nothing that would be lost.

    They are left behind at once if what they may be waiting for is not `well`. Otherwise they get `IDLE_S`, then it is
    `cut` off from under them, and they get as much again.
    """
    since = time.monotonic()
    is_well: bool | None = None
    is_cut = False
    while left := [thread for thread in threads if not (thread.abandoned or thread.join(0))]:
        late = time.monotonic() - since >= IDLE_S
        if is_well is None:
            is_well = well()
        elif not is_well or (late and is_cut):
            for thread in left:
                thread.abandoned = True
        elif late:
            is_cut, since = True, time.monotonic()
            cut()
        else:
            time.sleep(_LOOK_S)


def within(seconds: float, do: Callable[[], object]) -> None:
    """Do it in a thread of its own, but wait for it no longer than that."""
    thread = threading.Thread(target=do, name="within", daemon=True)
    thread.start()
    thread.join(seconds)
