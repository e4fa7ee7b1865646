"""The decoder processes as the parent sees them: a pool that takes whole files and can be killed at any moment."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from asrq_jobs.errors import AsrqError, DecoderCrashedError, ShutdownError
from asrq_worker.audio.decode_process import DecodeProcess
from asrq_worker.audio.line import WaitingLine
from asrq_worker.audio.sound import Channel, DecodedAudio
from asrq_worker.process.supervisor import Supervisor
from asrq_worker.storage.disk import writing

_POLL_S = 0.2
_START_TRIES = 3  # in a row, before a start is given up
_CPU_S = 30  # of processor time before any sound comes out: long lists of what is where are read first
_CPU_SHARE = 0.25  # of the length of the sound; decoding and speech detection take about a hundredth on one core
_FILES = 200  # then a decoder is replaced, so that leaks of native code stay small

log = logging.getLogger(__name__)


class DecoderPool(Supervisor[DecodeProcess]):
    """Decoder processes, each for one file at a time, and one more for each live job. Thread-safe."""

    def __init__(self, count: int, *, memory_mb: int, stall_s: float, max_s: float) -> None:
        """Nothing runs before `start`.

        `count` files are decoded at a time. `memory_mb` limits the address space of a decoder, `stall_s` the seconds
        without progress, `max_s` the length of the audio.
        """
        super().__init__("decoders", count=count)
        self.stall_s = stall_s
        self.limits = {"memory_mb": memory_mb, "max_s": max_s, "cpu_s": _CPU_S, "cpu_share": _CPU_SHARE}
        self._for_files = count
        self._line = WaitingLine(count)
        self._live = 0  # jobs that have a decoder of their own, or wait for it…
        self._live_waiting = 0  # …and of these, those that wait
        self._last_failure: AsrqError | None = None
        self._serves = False

    def start(self) -> None:
        """Start the decoders and wait until they can work, about a second.

        Raises:
            ExtraMissingError: the packages for decoding are not installed.
            DecoderError: they do not start.
        """
        self.serve()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the decoders that live, for diagnostics."""
        with self.changed:
            return tuple(decoder.pid for decoder in self.processes)

    @property
    def confined(self) -> frozenset[str]:
        """By what the system keeps each decoder that works from the network, other programs and files
        (confinement.py)."""
        with self.changed:
            each = [decoder.confined for decoder in self.processes if decoder.ready]
        return frozenset.intersection(*each) if each else frozenset()

    @property
    def running(self) -> int:
        """Files that are being decoded now."""
        with self.changed:
            return self._line.taken

    def decode(
        self,
        source: BinaryIO,
        spool_file: Path,
        *,
        on_progress: Callable[[float], None],
        check: Callable[[], None],
        track: int | None = None,
        second: Path | None = None,
        urgent: bool = False,
    ) -> DecodedAudio:
        """Decode an open file, from its beginning, into `spool_file`, and find the speech in it. Blocks; waits its turn
        for a free decoder. The decoder opens neither: it gets both as they are.

        `track` is the number of the audio track, from 1; None for the one that `tracks` chooses. With `second`, two
        channels are decoded apart, and the second one goes there. An urgent caller goes before those who are not, but
        for one place in five (see `WaitingLine`). `on_progress` gets the seconds decoded so far. `check` is called at
        least four times a second from the start, waiting included; what it raises kills the decoder and passes on, as
        does anything `on_progress` raises.

        Raises:
            AudioError: the file is empty, unreadable, too long, has no audio, or too many channels.
            DecoderTimeoutError: no progress for `stall_s`.
            DecoderCrashedError: the process died.
            ShutdownError: the pool was closed.
            StorageError, NoRoomError: the samples cannot be written.
        """
        files = (spool_file,) if second is None else (spool_file, second)
        with self._turn(check, urgent) as decoder, ExitStack() as opened:
            with writing():
                outs = [opened.enter_context(file.open("wb+", buffering=0)) for file in files]
            done = decoder.run(
                {"op": "decode", "track": track, "apart": second is not None, **self.limits},
                (source.fileno(), *(out.fileno() for out in outs)),
                on_progress=on_progress,
                check=check,
                stall_s=self.stall_s,
            )
        heard = [
            Channel(files[at], done["samples"], tuple((start, stop) for start, stop in done["spans"][at]), at + 1)
            for at in done["heard"]
        ]
        return DecodedAudio(
            path=heard[0].path,
            samples=done["samples"],
            spans=heard[0].spans,
            container=done["container"],
            codec=done["codec"],
            sample_rate=done["sample_rate"],
            channels=done["channels"],
            warnings=tuple(done["warnings"]),
            track=done["track"],
            tracks=done["tracks"],
            vad_s=done["vad_s"],
            apart=tuple(heard) if len(heard) > 1 else (),
            files=files,
        )

    @contextmanager
    def aside(self, check: Callable[[], None]) -> Iterator[DecodeProcess]:
        """Lend a decoder beside those for files: sound that comes as slowly as it is spoken would keep files waiting.

        It gets whichever is free, before any file, and another one is started if too few are left for files. Those
        stay: besides the ones for files, there are as many as there were ever live jobs at once. `check` is called
        while it waits.

        Raises:
            DecoderError: it does not start.
            ShutdownError: the pool was closed.
        """
        with self.changed:
            self._live += 1
            self._live_waiting += 1
            self._count = max(self._count, self._for_files + self._live)
            self.changed.notify_all()
        try:
            try:
                decoder = self._take(check, self._take_for_live)
            finally:
                with self.changed:
                    self._live_waiting -= 1
            with self._lent(decoder):
                yield decoder
        finally:
            with self.changed:
                self._live -= 1

    def _take_for_live(self) -> bool:
        if self.failures_in_a_row >= _START_TRIES and self._last_failure is not None and not self._free():
            raise self._last_failure
        return True

    @contextmanager
    def _turn(self, check: Callable[[], None], urgent: bool) -> Iterator[DecodeProcess]:
        with self.changed:
            caller = self._line.join(urgent=urgent)

        def is_next() -> bool:
            if self._line.first() != caller or len(self._free()) <= self._live_waiting:
                return False
            self._line.take(caller)
            return True

        try:
            decoder = self._take(check, is_next)
        except BaseException:
            with self.changed:
                self._line.leave(caller)
                self.changed.notify_all()
            raise
        try:
            with self._lent(decoder):
                yield decoder
        finally:
            with self.changed:
                self._line.give_back(caller)
                self.changed.notify_all()

    def _take(self, check: Callable[[], None], is_next: Callable[[], bool]) -> DecodeProcess:
        """Wait for a free decoder; `is_next` says, with the lock held, whether it is the caller's."""
        while True:
            check()
            with self.changed:
                if self._closing:
                    raise ShutdownError("The worker is stopping.")
                if is_next() and (free := self._free()):
                    free[0].lent = True
                    self.failures_in_a_row = 0
                    self.changed.notify_all()
                    return free[0]
                self.changed.wait(_POLL_S)

    @contextmanager
    def _lent(self, decoder: DecodeProcess) -> Iterator[None]:
        """Have it back in the end, or end it if it is in the middle of something or has served enough."""
        try:
            yield
        finally:
            with self.changed:
                if not decoder.sound or decoder.files >= _FILES:
                    decoder.retiring = True
                    decoder.kill(ShutdownError("Another decoder takes its place."))
                decoder.lent = False
                self.changed.notify_all()
            if decoder.reason is not None:
                decoder.close()  # then it has let go of its files

    def _free(self) -> list[DecodeProcess]:
        return [decoder for decoder in self.processes if decoder.free]

    # What the supervisor asks

    def launch(self) -> DecodeProcess:
        """Start a decoder."""
        return DecodeProcess(self)

    def on_ready(self, process: DecodeProcess) -> None:
        """Note that a decoder can work, and whether all can."""
        del process
        if not self._serves:
            self.failures_in_a_row = 0
            self._serves = len(self._free()) >= self._for_files

    def on_end(self, process: DecodeProcess, reason: AsrqError) -> None:
        """Forget a decoder that is gone: at work it was the file's doing, and the next one starts at once."""
        process.retiring = process.retiring or process.lent
        super().on_end(process, reason)

    def failed(self, reason: AsrqError, process: DecodeProcess | None) -> float:
        """Note that a decoder did not start, or died at rest; at first, there is an end to trying."""
        pause_s = super().failed(reason, process)
        self._last_failure = reason
        crashed_again = isinstance(reason, DecoderCrashedError) and self.failures_in_a_row < _START_TRIES
        if not (self._serves or crashed_again):
            return math.inf
        log.warning("A decoder failed: %s Trying again in %g s.", reason, pause_s)
        return pause_s
