"""Frames of any format, rate and number of channels to 16 kHz, mono or two channels apart. Runs in the decoder process
only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from asrq_jobs.errors import TooManyChannelsError
from asrq_worker.backends.base import SAMPLE_RATE, Samples

MOST_APART = 2
"""Channels that are heard each for itself."""
_MOST_PLACED = 8  # channels: FFmpeg has no rule for all arrangements of more


class Mono:
    """Makes samples of frames, whose format may change midway; `apart`: two channels stay two. So many seconds of
    frames are collected first, at least, as each call of the resampler costs as much as many samples."""

    def __init__(self, *, apart: bool = False, collected_s: float = 1.0) -> None:
        self._apart = apart
        self._collected_s = collected_s
        self._format: tuple[str, str, int] | None = None
        self._resampler: Any = None
        self._collected: Any = None

    def feed(self, frame: Any) -> Iterator[Samples]:
        """Take a frame, and yield what is ready: float32 of shape (n,), or (n, 2) of two channels apart, 16 kHz.

        Raises:
            TooManyChannelsError: there are more of them.
        """
        if self._apart and (count := frame.layout.nb_channels) > MOST_APART:
            raise TooManyChannelsError(f"The audio has {count} channels; at most {MOST_APART} are heard apart.")
        frame = _mixed(frame)
        given = (frame.format.name, frame.layout.name, frame.sample_rate)
        if given != self._format:
            yield from self.flush()
            self._format = given
            # FFmpeg mixes surround down to stereo; its mono would be up to 3.4 times as loud as the source.
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=SAMPLE_RATE)
            self._collected = av.AudioFifo()
        frame.pts = None  # damaged time stamps would be an error here
        self._collected.write(frame)
        if self._collected.samples >= self._collected_s * frame.sample_rate:
            yield from self._resample(self._collected.read())

    def flush(self) -> Iterator[Samples]:
        """Yield the rest of what was taken."""
        if self._resampler:
            if self._collected.samples:
                yield from self._resample(self._collected.read())
            yield from self._resample(None)
            self._format = self._resampler = None

    def _resample(self, frame: Any) -> Iterator[Samples]:
        for resampled in self._resampler.resample(frame):
            channels: Samples = resampled.to_ndarray()
            if self._apart and len(channels) == MOST_APART:
                yield channels.T
                continue
            mono = channels.mean(axis=0)
            if len(channels) == 2 and np.abs(mono).max() < 0.01 * np.abs(channels[0]).max():
                mono = channels[0]  # channels of opposite phase, a common wiring fault, cancel each other out
            yield mono


def _mixed(frame: Any) -> Any:
    """Return the mean of channels without positions, or too many for FFmpeg to place."""
    count = frame.layout.nb_channels
    if count <= 2 or (count <= _MOST_PLACED and not frame.layout.name.endswith("channels")):
        return frame
    values = frame.to_ndarray()
    channels = values if frame.format.is_planar else values.reshape(-1, count).T
    mono = channels.mean(axis=0, dtype=np.float64)
    if np.issubdtype(values.dtype, np.integer):
        bits = np.iinfo(values.dtype)
        middle = (bits.max + bits.min + 1) / 2  # 128 of unsigned bytes
        mono = (mono - middle) / (bits.max + 1 - middle)
    mixed = av.AudioFrame.from_ndarray(mono.astype(np.float32)[None], format="flt", layout="mono")
    mixed.sample_rate = frame.sample_rate
    return mixed
