"""The decoder processes as the parent sees them: a pool that takes whole files and can be killed at any moment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from asrq_jobs.errors import AsrqError, DecoderCrashedError, ShutdownError
from asrq_worker.audio.decode_process import DecodeProcess
from asrq_worker.audio.line import Caller, Line
from asrq_worker.backends.base import SAMPLE_RATE, Samples
from asrq_worker.process.backoff import Backoff
from asrq_worker.process.supervision import Supervised
from asrq_worker.storage.disk import writing

_POLL_S = 0.2
_BACKOFF = Backoff(1.0, 30.0)  # between two tries to start a decoder
_START_TRIES = 3  # in a row, before a start is given up
_END_S = 5.0  # for a start that is under way when the pool closes
_CPU_S = 30  # of processor time before any sound comes out: long lists of what is where are read first
_CPU_SHARE = 0.25  # of the length of the sound; decoding and speech detection take about a hundredth on one core
_FILES = 200  # then a decoder is replaced, so that leaks of native code stay small

log = logging.getLogger(__name__)


class Sound:
    """Audio at 16 kHz mono. `path` holds `samples` little-endian float32 values; `spans` is the speech in samples."""

    path: Path
    samples: int
    spans: tuple[tuple[int, int], ...]

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / SAMPLE_RATE

    def read(self, start: int, stop: int) -> Samples:
        """Return the samples from `start` to `stop`, float32 of shape (stop - start,).

        Raises:
            StorageError: the file is gone.
        """
        with writing():
            samples = np.fromfile(self.path, dtype="<f4", count=stop - start, offset=start * 4)
        return samples.astype(np.float32, copy=False)


@dataclass(frozen=True)
class DecodedAudio(Sound):
    """Audio that is decoded as a whole.

    `container`, `codec`, `sample_rate` (Hz) and `channels` describe the source, of whose `tracks` it is number `track`.
    `warnings`: truncated_media, corrupt_media, non_finite_samples, other_tracks.
    """

    path: Path
    samples: int
    spans: tuple[tuple[int, int], ...]
    container: str
    codec: str
    sample_rate: int
    channels: int
    warnings: tuple[str, ...]
    track: int = 1
    tracks: int = 1
    vad_s: float = 0.0
    """Seconds that it took to find the speech."""


class DecoderPool:
    """Decoder processes, each for one file at a time. Thread-safe."""

    def __init__(self, count: int, *, memory_mb: int, stall_s: float, max_s: float) -> None:
        """Nothing runs before `start`.

        `memory_mb` limits the address space of a decoder, `stall_s` the seconds without progress, `max_s` the length
        of the audio.
        """
        self._count = count
        self.stall_s = stall_s
        self.limits = {"memory_mb": memory_mb, "max_s": max_s, "cpu_s": _CPU_S, "cpu_share": _CPU_SHARE}
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._all: set[DecodeProcess] = set()
        self._idle: list[DecodeProcess] = []
        self._aside: list[DecodeProcess] = []
        self._line = Line(count)
        self._replacements: list[Supervised] = []
        self._busy = 0

    def start(self) -> None:
        """Start the decoders and wait until they can work, about a second.

        Raises:
            ExtraMissingError: the packages for decoding are not installed.
            DecoderError: they do not start.
        """
        failures = 0
        try:
            starting = [self._launch() for _ in range(self._count)]
            while starting:
                try:
                    self._admit(starting.pop())
                    failures = 0
                except DecoderCrashedError as error:
                    failures += 1
                    if failures == _START_TRIES or self._closed.is_set():
                        raise
                    log.warning("%s Trying again.", error)
                    starting.append(self._launch())
        except AsrqError:
            self.close()
            raise

    def close(self) -> None:
        """End all decoders; those who wait for one, or for its result, get a ShutdownError."""
        with self._changed:
            self._closed.set()
            decoders = list(self._all)
            replacements = list(self._replacements)
            self._changed.notify_all()
        for decoder in decoders:
            decoder.kill()
        for thread in replacements:
            thread.join(_END_S)
        with self._changed:
            self._all.clear()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the decoders that live, for diagnostics."""
        with self._changed:
            return tuple(decoder.pid for decoder in self._all)

    @property
    def confined(self) -> frozenset[str]:
        """By what the system keeps each decoder that lives from the network, other programs and files
        (confinement.py)."""
        with self._changed:
            each = [decoder.confined for decoder in self._all]
        return frozenset.intersection(*each) if each else frozenset()

    @property
    def running(self) -> int:
        """Files that are being decoded now."""
        with self._changed:
            return self._busy

    def decode(
        self,
        source: BinaryIO,
        spool_file: Path,
        *,
        on_progress: Callable[[float], None],
        check: Callable[[], None],
        track: int | None = None,
        urgent: bool = False,
    ) -> DecodedAudio:
        """Decode an open file, from its beginning, into `spool_file`, and find the speech in it. Blocks; waits its turn
        for a free decoder. The decoder opens neither: it gets both as they are.

        `track` is the number of the audio track, from 1; None for the one that `tracks` chooses. An urgent caller goes
        before those who are not, but for one place in five (see `Line`). `on_progress` gets the seconds decoded so far.
        `check` is called at least four times a second from the start, waiting included; what it raises kills the
        decoder and passes on, as does anything `on_progress` raises.

        Raises:
            AudioError: the file is empty, unreadable, too long or has no audio.
            DecoderTimeoutError: no progress for `stall_s`.
            DecoderCrashedError: the process died.
            ShutdownError: the pool was closed.
            StorageError, NoRoomError: the samples cannot be written.
        """
        with self._turn(check, urgent) as decoder, ExitStack() as opened:
            with writing():
                out = opened.enter_context(spool_file.open("wb+", buffering=0))
            files = source.fileno(), out.fileno()
            try:
                done = decoder.run(
                    {"op": "decode", "track": track, **self.limits},
                    files,
                    on_progress=on_progress,
                    check=check,
                    stall_s=self.stall_s,
                )
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
            track=done["track"],
            tracks=done["tracks"],
            vad_s=done["vad_s"],
        )

    @contextmanager
    def aside(self) -> Iterator[DecodeProcess]:
        """Lend a decoder beside those of the pool: sound that comes as slowly as it is spoken would keep files waiting.

        It is kept for the next one, unless something is raised.

        Raises:
            DecoderError: it does not start.
            ShutdownError: the pool was closed.
        """
        with self._changed:
            kept = [decoder for decoder in self._aside if not decoder.gone]
            self._aside = kept[1:]
        decoder = kept[0] if kept else self._begun()
        keep = False
        try:
            yield decoder
            with self._changed:
                if keep := self._fit(decoder):
                    self._aside.append(decoder)
        except DecoderCrashedError:
            if self._closed.is_set():
                raise ShutdownError("The worker is stopping.") from None
            raise
        finally:
            if not keep:
                self._drop(decoder)

    def _begun(self) -> DecodeProcess:
        fresh = self._launch()
        try:
            fresh.wait_ready()
            if self._closed.is_set():
                raise ShutdownError("The worker is stopping.")
        except AsrqError:
            self._drop(fresh)
            raise
        return fresh

    def _fit(self, decoder: DecodeProcess) -> bool:
        return decoder.sound and not decoder.gone and decoder.files < _FILES and not self._closed.is_set()

    @contextmanager
    def _turn(self, check: Callable[[], None], urgent: bool) -> Iterator[DecodeProcess]:
        decoder, caller = self._acquire(check, urgent)
        try:
            yield decoder
        finally:
            with self._changed:
                self._busy -= 1
                self._line.give_back(caller)
                keep = self._fit(decoder)
                if keep:
                    self._idle.append(decoder)
                self._changed.notify_all()
            if not keep:
                self._drop(decoder)
                self._replace_soon()

    def _acquire(self, check: Callable[[], None], urgent: bool) -> tuple[DecodeProcess, Caller]:
        with self._changed:
            caller = self._line.join(urgent=urgent)
        try:
            while True:
                check()
                with self._changed:
                    if self._closed.is_set():
                        raise ShutdownError("The worker is stopping.")
                    if self._idle and self._line.first() == caller:
                        self._busy += 1
                        self._line.take(caller)
                        self._changed.notify_all()
                        return self._idle.pop(), caller
                    self._changed.wait(_POLL_S)
        except BaseException:
            with self._changed:
                self._line.leave(caller)
                self._changed.notify_all()
            raise

    def _gone(self, decoder: DecodeProcess) -> None:
        with self._changed:
            if decoder not in self._idle:
                return  # its next user will find out
            self._idle.remove(decoder)
            self._all.discard(decoder)
        self._replace_soon()

    def _replace_soon(self) -> None:
        with self._changed:
            if self._closed.is_set():
                return
            self._replacements = [thread for thread in self._replacements if thread.alive]
            self._replacements.append(Supervised("decoder-replacement", self._replace, ends=True))
            self._replacements[-1].start()

    def _replace(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                self._admit(self._launch())
            except AsrqError as error:
                failures += 1
                pause_s = _BACKOFF.pause_s(failures)
                if not self._closed.is_set():
                    log.warning("A decoder does not start: %s Trying again in %g s.", error, pause_s)
                self._closed.wait(pause_s)
            else:
                return

    def _launch(self) -> DecodeProcess:
        fresh = DecodeProcess(self._gone)
        with self._changed:
            closed = self._closed.is_set()
            if not closed:
                self._all.add(fresh)  # where `close` finds it
        if closed:
            fresh.kill()
            raise ShutdownError("The worker is stopping.")
        return fresh

    def _admit(self, fresh: DecodeProcess) -> None:
        """Let it take files once it can; one that fails is dropped."""
        try:
            fresh.wait_ready()
            with self._changed:
                if self._closed.is_set():
                    raise ShutdownError("The worker is stopping.")
                if fresh.gone:
                    raise DecoderCrashedError("A decoder died as soon as it had started.")
                self._idle.append(fresh)
                self._changed.notify_all()
        except AsrqError:
            self._drop(fresh)
            raise

    def _drop(self, decoder: DecodeProcess) -> None:
        with self._changed:
            self._all.discard(decoder)
        decoder.kill()
