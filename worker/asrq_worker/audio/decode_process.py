"""One decoder process as the parent sees it: takes a file, tells how it goes, can be killed at any moment."""

from __future__ import annotations

import math
import queue
import signal
import sys
import time
from collections.abc import Callable, Sequence

from asrq_jobs.errors import (
    AsrqError,
    AudioUnreadableError,
    DecoderCrashedError,
    DecoderTimeoutError,
    ErrorInfo,
    from_info,
)
from asrq_worker.process.environment import computing_on, handed_on
from asrq_worker.process.exits import describe_exit
from asrq_worker.process.stdio import Message
from asrq_worker.process.supervisor import ChildProcess, Supervisor

_MODULE = "asrq_worker.audio.decode_child"
# One core each, and no address space (which is limited) set aside for the heaps of threads that do nothing.
_ENVIRONMENT = {**computing_on(1), "MALLOC_ARENA_MAX": "1"}
_POLL_S = 0.2
_START_S = 60.0


class DecodeProcess(ChildProcess):
    """A decoder. `lent`: somebody has it; `sound`: it has answered all that it was asked; `files`: how many it got;
    `confined`: by what the system keeps it from the network, other programs and files (confinement.py).

    `run` is called without the lock, by the one that it is lent to.
    """

    def __init__(self, supervisor: Supervisor[DecodeProcess]) -> None:
        """Start it.

        Raises:
            DecoderCrashedError: no memory or no process slot for it now.
        """
        self.lent = False
        self.sound = True
        self.files = 0
        self.confined = frozenset[str]()
        self._stall_s = 0.0
        self._late_at = math.inf
        self._answers: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        try:
            super().__init__(supervisor, _MODULE, start_s=_START_S, env=handed_on() | _ENVIRONMENT, files=True)
        except OSError as error:
            raise DecoderCrashedError(f"A decoder cannot be started: {error.strerror}.") from None

    @property
    def free(self) -> bool:
        """Whether it can be lent."""
        return self.ready and not self.lent and self.reason is None

    def run(
        self,
        request: Message,
        files: Sequence[int],
        *,
        on_progress: Callable[[float], None],
        check: Callable[[], None],
        stall_s: float,
    ) -> Message:
        """Send one request, and open files if it takes any (see `decode_child`); return its `done` message.

        `check` is called five times a second; what it raises passes on, and leaves a busy process behind.

        Raises:
            AudioError: what the decoder says of the file.
            DecoderTimeoutError: no progress for `stall_s`.
            DecoderCrashedError: the process died.
            ShutdownError: the pool was closed.
        """
        self.sound = False
        self.files += bool(files)
        with self._lock:
            self._stall_s = stall_s
            self._late_at = time.monotonic() + stall_s
            self._supervisor.look_by(self._late_at)
        self._child.send(request, files)  # if it is gone, `on_gone` has told us
        while True:
            check()
            try:
                answer = self._answers.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if answer is None:
                assert self.reason is not None  # noqa: S101  # it is gone
                raise self.reason
            if answer["op"] == "progress":
                on_progress(answer["seconds"])
                continue
            self.sound = True
            if answer["op"] == "error":
                raise from_info(ErrorInfo.model_validate(answer["error"]))
            return answer

    def on_death(self, code: int) -> AsrqError:
        """Return how it died."""
        if not self.ready:
            return DecoderCrashedError(
                f"A decoder died while it started ({describe_exit(code)}).",
                hint="See its last messages on standard error; the host may be short of memory.",
            )
        return _died(code, "on this file" if self.lent else "at rest")

    def work_deadline(self) -> float:
        """Return when it should have told of progress."""
        return self._late_at

    def extend(self, now: float) -> None:
        """Give what it does its time anew."""
        super().extend(now)
        if self._late_at < math.inf:
            self._late_at = now + self._stall_s

    def late(self, now: float) -> AsrqError:
        """Return what took too long."""
        del now
        if not self.ready:
            return DecoderTimeoutError(f"A decoder did not start within {_START_S:g} s.")
        return DecoderTimeoutError(f"The decoder made no progress for {self._stall_s:g} s.")

    # The child's reader thread

    def on_message(self, message: Message) -> None:
        """Take what the child says."""
        with self._lock:
            if self.ready:
                progress = message["op"] == "progress"
                self._late_at = time.monotonic() + self._stall_s if progress else math.inf
                self._answers.put(message)
            elif message["op"] == "error":
                self.kill(from_info(ErrorInfo.model_validate(message["error"])))
            elif self.reason is None:  # else it is too late
                self.confined = frozenset(message["confined"])
                self.has_become_ready()

    def on_gone(self) -> None:
        """Tell the one that waits for it."""
        self._answers.put(None)


def _died(code: int, where: str) -> AsrqError:
    if sys.platform != "win32" and code == -signal.SIGXCPU:
        return AudioUnreadableError(  # at no other time, and nowhere else, would it take less
            "Decoding the file takes far more processor time than its sound is worth.",
            hint="Convert the file to a plain format.",
        )
    return DecoderCrashedError(f"The decoder died {where} ({describe_exit(code)}).")
