"""The decoder processes as the parent sees them: a pool that takes whole files and can be killed at any moment."""

from __future__ import annotations

import bisect
import itertools
import logging
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrq_jobs.errors import AsrqError, DecoderCrashedError, DecoderTimeoutError, ErrorInfo, ShutdownError, from_info
from asrq_worker.backends.base import SAMPLE_RATE, Samples
from asrq_worker.process.child import Child, Message

_MODULE = "asrq_worker.audio.decode_child"
# One core each, and no address space (which is limited) set aside for the heaps of threads that do nothing.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
_POLL_S = 0.2
_START_S = 60.0
_LONGEST_PAUSE_S = 30.0  # between two tries to start a decoder
_FILES = 200  # then a decoder is replaced, so that leaks of native code stay small

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DecodedAudio:
    """Audio at 16 kHz mono. `path` holds `samples` little-endian float32 values; `spans` is the speech in samples.

    `container`, `codec`, `sample_rate` (Hz) and `channels` describe the source. `warnings`: truncated_media,
    corrupt_media, non_finite_samples.
    """

    path: Path
    samples: int
    spans: tuple[tuple[int, int], ...]
    container: str
    codec: str
    sample_rate: int
    channels: int
    warnings: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / SAMPLE_RATE

    def read(self, start: int, stop: int) -> Samples:
        """Return the samples from `start` to `stop`, float32 of shape (stop - start,)."""
        return np.fromfile(self.path, dtype="<f4", count=stop - start, offset=start * 4).astype(np.float32, copy=False)


class DecoderPool:
    """Decoder processes, each for one file at a time. Thread-safe."""

    def __init__(self, count: int, *, memory_mb: int, stall_s: float, max_s: float) -> None:
        """Nothing runs before `start`.

        `memory_mb` limits the address space of a decoder, `stall_s` the seconds without progress, `max_s` the length
        of the audio.
        """
        self._count = count
        self._stall_s = stall_s
        # Decoding and speech detection together take about a hundredth of the audio's length on one core.
        self._limits = {"memory_mb": memory_mb, "max_s": max_s, "cpu_s": 60 + max_s / 4}
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._all: set[_Decoder] = set()
        self._idle: list[_Decoder] = []
        self._waiting: list[tuple[bool, int]] = []
        self._arrivals = itertools.count()
        self._patient = 0  # decoders that work for callers who are not urgent

    def start(self) -> None:
        """Start the decoders and wait until they can work, about a second.

        Raises:
            ExtraMissingError: the packages for decoding are not installed.
            DecoderError: they do not start.
        """
        fresh = [_Decoder(self._gone) for _ in range(self._count)]
        try:
            for decoder in fresh:
                decoder.wait_ready()
        except AsrqError:
            for decoder in fresh:
                decoder.kill()
            raise
        with self._changed:
            self._all.update(fresh)
            self._idle += fresh
            self._changed.notify_all()

    def close(self) -> None:
        """End all decoders; those who wait for one, or for its result, get a ShutdownError."""
        with self._changed:
            self._closed.set()
            decoders = list(self._all)
            self._changed.notify_all()
        for decoder in decoders:
            decoder.kill()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the decoders that live, for diagnostics."""
        with self._changed:
            return tuple(decoder.pid for decoder in self._all)

    @property
    def running(self) -> int:
        """Files that are being decoded now."""
        with self._changed:
            return len(self._all) - len(self._idle)

    def decode(
        self,
        source: Path,
        spool_file: Path,
        *,
        on_progress: Callable[[float], None],
        check: Callable[[], None],
        urgent: bool = False,
    ) -> DecodedAudio:
        """Decode a file into `spool_file` and find the speech in it. Blocks; waits its turn for a free decoder.

        An urgent caller goes before those who are not; these leave one decoder free where there are several.
        `on_progress` gets the seconds decoded so far. `check` is called at least four times a second from the start,
        waiting included; what it raises kills the decoder and passes on, as does anything `on_progress` raises.

        Raises:
            AudioError: the file is empty, unreadable, too long or has no audio.
            DecoderTimeoutError: no progress for `stall_s`, or far too much processor time.
            DecoderCrashedError: the process died.
            ShutdownError: the pool was closed.
        """
        with self._turn(check, urgent) as decoder:
            request = {"op": "decode", "path": str(source), "out": str(spool_file), **self._limits}
            try:
                done = decoder.run(request, on_progress=on_progress, check=check, stall_s=self._stall_s)
            except DecoderCrashedError:
                if self._closed.is_set():
                    raise ShutdownError("The worker is stopping.") from None
                raise
        return DecodedAudio(
            path=spool_file,
            samples=done["samples"],
            spans=tuple((start, stop) for start, stop in done["spans"]),
            container=done["container"],
            codec=done["codec"],
            sample_rate=done["sample_rate"],
            channels=done["channels"],
            warnings=tuple(done["warnings"]),
        )

    @contextmanager
    def _turn(self, check: Callable[[], None], urgent: bool) -> Iterator[_Decoder]:
        decoder = self._acquire(check, urgent)
        try:
            yield decoder
        finally:
            with self._changed:
                self._patient -= not urgent
                keep = decoder.sound and decoder.files < _FILES and not self._closed.is_set()
                if keep:
                    self._idle.append(decoder)
                else:
                    self._all.discard(decoder)
                self._changed.notify_all()
            if not keep:
                decoder.kill()
                self._replace_soon()

    def _acquire(self, check: Callable[[], None], urgent: bool) -> _Decoder:
        ticket = (not urgent, next(self._arrivals))
        with self._changed:
            bisect.insort(self._waiting, ticket)
        try:
            while True:
                check()
                with self._changed:
                    if self._closed.is_set():
                        raise ShutdownError("The worker is stopping.")
                    may_go = urgent or self._patient < max(1, self._count - 1)
                    if self._idle and may_go and self._waiting[0] == ticket:
                        self._patient += not urgent
                        return self._idle.pop()
                    self._changed.wait(_POLL_S)
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _gone(self, decoder: _Decoder) -> None:
        with self._changed:
            if decoder not in self._idle:
                return  # whoever uses it will find out
            self._idle.remove(decoder)
            self._all.remove(decoder)
        self._replace_soon()

    def _replace_soon(self) -> None:
        threading.Thread(target=self._replace, name="decoder-replacement", daemon=True).start()

    def _replace(self) -> None:
        pause_s = 1.0
        while not self._closed.is_set():
            fresh = _Decoder(self._gone)
            try:
                fresh.wait_ready()
            except AsrqError as error:
                fresh.kill()
                log.warning("A decoder does not start: %s Trying again in %g s.", error, pause_s)
                self._closed.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            with self._changed:
                if not self._closed.is_set():
                    self._all.add(fresh)
                    self._idle.append(fresh)
                    self._changed.notify_all()
                    return
            fresh.kill()


class _Decoder:
    """One decoder process. `sound`: it is ready for a file, rather than busy, dead or not yet up."""

    def __init__(self, on_exit: Callable[[_Decoder], None]) -> None:
        self.sound = False
        self.files = 0
        self._on_exit = on_exit
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._child = Child(_MODULE, on_message=self._messages.put, on_exit=self._exited, env=_ENVIRONMENT)

    def _exited(self, code: int) -> None:
        self._messages.put({"op": "exit", "code": code})
        self._on_exit(self)

    @property
    def pid(self) -> int:
        return self._child.pid

    def kill(self) -> None:
        """End it now, and wait until it is gone and has let go of its files."""
        self.sound = False
        self._child.kill()
        self._child.close()

    def wait_ready(self) -> None:
        try:
            message = self._messages.get(timeout=_START_S)
        except queue.Empty:
            raise DecoderTimeoutError(f"A decoder did not start within {_START_S:g} s.") from None
        if message["op"] == "error":
            raise from_info(ErrorInfo.model_validate(message["error"]))
        if message["op"] == "exit":
            raise DecoderCrashedError(f"A decoder died while it started ({_describe(message['code'])}).")
        self.sound = True

    def run(
        self, request: Message, *, on_progress: Callable[[float], None], check: Callable[[], None], stall_s: float
    ) -> Message:
        """Send one request and return the `done` message."""
        self.sound = False
        self.files += 1
        self._child.send(request)  # if it is gone, its `exit` message waits for us
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
        return DecoderTimeoutError("The decoder used up its processor time on this file.")
    return DecoderCrashedError(f"The decoder died on this file ({_describe(code)}).")


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal has no name
        return f"signal {-code}"
