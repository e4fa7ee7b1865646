"""Whether a process can write what its jobs need written, and what happens to a job that finds that it cannot.

A disk that is full, read-only or gone is the host's affair: its worker takes nothing until it can write again, and
gives back what it took. A job that needs more room than a usable disk has is the job's affair.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from asrq_jobs.errors import AsrqError, NoRoomError, StorageError
from asrq_worker.process.backoff import Backoff
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.storage")

_SMALL = 1 << 16  # bytes
_FRESH_S = 5.0  # a look that found nothing wrong
_AGAIN_S = 1.0
_BACKOFF = Backoff(_AGAIN_S, 60.0)


class Storage(Protocol):
    """Where audio is kept: a spool."""

    def check(self, room: int) -> None: ...

    def usage(self) -> tuple[int, int]: ...


class StorageWatch:
    """What a process knows of its spool. Thread-safe."""

    def __init__(self, place: Storage, *, room: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`room`: bytes that have to fit for jobs to be taken; half of a file system smaller than twice that."""
        self._place = place
        self._room = room
        self._clock = clock
        self._lock = threading.Lock()
        self._problem: str | None = None
        self._since = 0.0
        self._look_at = float("-inf")
        self._failures = 0

    def problem(self) -> str | None:
        """Return in a sentence why nothing can be written now, or None; it looks now and then, however often asked."""
        with self._lock:
            if self._clock() >= self._look_at:
                # What was not enough for a job is tried in earnest; otherwise a small file tells enough.
                found = self._look(self._room if self._problem else min(self._room, _SMALL))
                self._note(found, again_in_s=_AGAIN_S if found else _FRESH_S)
            return self._problem

    @property
    def known(self) -> str | None:
        """The same as of the last look, without looking: a file system that hangs holds nobody up here."""
        return self._problem

    def failed(self, error: StorageError | NoRoomError) -> AsrqError:
        """Return the error of a job that met this one and has removed what it wrote.

        NoRoomError if there is room for others now, and it had more than all of them have: this job needs too much.
        Otherwise StorageError; then there is a `problem` for a moment at least, longer each time, until a job has
        `written`.
        """
        with self._lock:
            found = self._look(self._room)
            if found is None and isinstance(error, NoRoomError):
                kept, free = self._place.usage()
                if free >= kept:
                    return error
            if self._problem is None:  # those that were taken before are no news
                self._failures += 1
                self._note(found or error, again_in_s=_BACKOFF.pause_s(self._failures))
            return _of_the_host(error)

    def written(self) -> None:
        """Note that a job could write all it had to."""
        with self._lock:
            self._failures = 0

    def _look(self, room: int) -> StorageError | NoRoomError | None:
        try:
            self._place.check(room)
        except (StorageError, NoRoomError) as error:
            return error
        return None

    def _note(self, error: StorageError | NoRoomError | None, *, again_in_s: float) -> None:
        now = self._clock()
        self._look_at = now + again_in_s
        if error is not None and self._problem is None:
            self._since = now
            _log.error("storage.unusable", reason=error.message, hint=_of_the_host(error).hint)
        elif error is None and self._problem is not None:
            _log.warning("storage.usable", after_s=round(now - self._since, 1))
        self._problem = error.message if error else None


def _of_the_host(error: StorageError | NoRoomError) -> StorageError:
    return error if isinstance(error, StorageError) else StorageError(error.message)
