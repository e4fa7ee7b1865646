"""Raw sound that comes bit by bit to samples and speech, each as it comes. Runs in the decoder process only."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import av
import numpy as np

from asrq_jobs.request import WIDTHS, Encoding
from asrq_worker.audio.listening import Listening
from asrq_worker.audio.mono import Mono
from asrq_worker.audio.output import Output
from asrq_worker.audio.speech import Span
from asrq_worker.backends.base import Samples

_FORMATS: dict[Encoding, tuple[str, str]] = {"pcm_s16le": ("s16", "<i2"), "pcm_f32le": ("flt", "<f4")}
"""FFmpeg's name of each encoding, and numpy's."""


class Growing:
    """One recording. `broken`: some of its samples were no numbers."""

    def __init__(
        self,
        source: BinaryIO,
        out: BinaryIO,
        *,
        encoding: Encoding,
        sample_rate: int,
        channels: int,
        longest_s: float,
        write: Callable[[Samples], None],
        on_progress: Callable[[float], None],
    ) -> None:
        """`source` is the raw sound; `write` puts samples, float32 at 16 kHz, into `out`, which is unbuffered."""
        self._source = source
        self._format, self._type = _FORMATS[encoding]
        self._sample_rate = sample_rate
        self._channels = channels
        self._second = WIDTHS[encoding] * channels * sample_rate
        self._at = 0
        self._mono = Mono(collected_s=0.0)  # or what was said last would be heard a second later
        self._output = Output(longest_s, write, on_progress)
        self._listening = Listening(out)

    @property
    def samples(self) -> int:
        """How many samples were written."""
        return self._output.samples

    @property
    def broken(self) -> bool:
        """Whether some were no numbers."""
        return self._output.broken

    def take(self, until: int) -> tuple[list[Span], list[Span], int]:
        """Take the source up to this byte; return the speech that will not change, that which may, and where this
        begins at the earliest.

        Raises:
            AudioTooLongError: it is longer than `longest_s`.
        """
        while self._at < until:
            self._source.seek(self._at)
            sound = np.frombuffer(self._source.read(min(self._second, until - self._at)), dtype=self._type)
            if not len(sound):
                break
            self._at += sound.nbytes
            frame = av.AudioFrame.from_ndarray(
                sound[None], format=self._format, layout="mono" if self._channels == 1 else "stereo"
            )
            frame.sample_rate = self._sample_rate
            self._output.put(self._mono.feed(frame))
        return self._listening.advance(self.samples)

    def end(self, until: int) -> list[Span]:
        """Take the rest of the source, up to this byte, and return all speech."""
        self.take(until)
        self._output.put(self._mono.flush())
        return self._listening.end(self.samples)
