"""One decoder process as the parent sees it: takes a file, tells how it goes, can be killed at any moment."""

from __future__ import annotations

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
from asrq_worker.process.child import Child, Message
from asrq_worker.process.environment import computing_on, handed_on

_MODULE = "asrq_worker.audio.decode_child"
# One core each, and no address space (which is limited) set aside for the heaps of threads that do nothing.
_ENVIRONMENT = {**computing_on(1), "MALLOC_ARENA_MAX": "1"}
_POLL_S = 0.2
_START_S = 60.0


class DecodeProcess:
    """A decoder. `sound`: it is ready for a file, rather than busy, dead or not yet up; `files`: how many it got;
    `confined`: by what the system keeps it from the network, other programs and files (confinement.py).

    `gone` is set, and `on_exit` called in a thread of its own, once the process has ended.
    """

    def __init__(self, on_exit: Callable[[DecodeProcess], None]) -> None:
        self.sound = False
        self.files = 0
        self.confined = frozenset[str]()
        self.gone = False
        self._on_exit = on_exit
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        try:
            self._child = Child(
                _MODULE,
                on_message=self._messages.put,
                on_exit=self._exited,
                env=handed_on() | _ENVIRONMENT,
                files=True,
            )
        except OSError as error:
            raise DecoderCrashedError(f"A decoder cannot be started: {error.strerror}.") from None

    def _exited(self, code: int) -> None:
        self.gone = True
        self._messages.put({"op": "exit", "code": code})
        self._on_exit(self)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    def kill(self) -> None:
        """End it now, and wait until it is gone and has let go of its files."""
        self.sound = False
        self._child.kill()
        self._child.close()

    def wait_ready(self) -> None:
        """Wait until it can take a file.

        Raises:
            ExtraMissingError: the packages for decoding are not installed.
            DecoderError: it does not start.
        """
        try:
            message = self._messages.get(timeout=_START_S)
        except queue.Empty:
            raise DecoderTimeoutError(f"A decoder did not start within {_START_S:g} s.") from None
        if message["op"] == "error":
            raise from_info(ErrorInfo.model_validate(message["error"]))
        if message["op"] == "exit":
            raise DecoderCrashedError(
                f"A decoder died while it started ({_describe(message['code'])}).",
                hint="See its last messages on standard error; the host may be short of memory.",
            )
        self.sound, self.confined = True, frozenset(message["confined"])

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
        """
        self.sound = False
        self.files += bool(files)
        self._child.send(request, files)  # if it is gone, its `exit` message waits for us
        heard = time.monotonic()
        while True:
            check()
            try:
                message = self._messages.get(timeout=_POLL_S)
            except queue.Empty:
                if time.monotonic() - heard > stall_s:
                    raise DecoderTimeoutError(f"The decoder made no progress for {stall_s:g} s.") from None
                continue
            heard = time.monotonic()
            match message["op"]:
                case "progress":
                    on_progress(message["seconds"])
                case "exit":
                    raise _died(message["code"])
                case "error":
                    self.sound = True
                    raise from_info(ErrorInfo.model_validate(message["error"]))
                case _:
                    self.sound = True
                    return message


def _died(code: int) -> AsrqError:
    if sys.platform != "win32" and code == -signal.SIGXCPU:
        return AudioUnreadableError(  # at no other time, and nowhere else, would it take less
            "Decoding the file takes far more processor time than its sound is worth.",
            hint="Convert the file to a plain format.",
        )
    return DecoderCrashedError(f"The decoder died on this file ({_describe(code)}).")


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal has no name
        return f"signal {-code}"
