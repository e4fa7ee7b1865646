"""The output of decoded samples. Runs in the decoder process only."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from asrq_jobs.errors import AudioTooLongError
from asrq_worker.backends.base import SAMPLE_RATE, Samples

_ABSURD = 1e9  # larger than any integer format scaled wrongly: only broken floats are
_SILENCE = 30 * SAMPLE_RATE  # written at once
_TOLERANCE_S = 0.5  # encoder delays and edit lists make what a file says of its length a little wrong,
_TOLERANCE = 0.02  # or this


class Output:
    """Takes samples, float32 at 16 kHz, up to `longest_s` seconds of them. `broken`: some were no numbers; `apart`:
    sound of two channels comes as such, of shape (n, 2), and that of one as (n,)."""

    def __init__(
        self,
        longest_s: float,
        write: Callable[[Samples], None],
        on_progress: Callable[[float], None],
        *,
        apart: bool = False,
    ) -> None:
        """`write` gets the samples, `on_progress` the seconds so far."""
        self.samples = 0
        self.broken = False
        self.apart = apart
        self._longest_s = longest_s
        self._write = write
        self._on_progress = on_progress

    def expect(self, length_s: float | None) -> None:
        """Hear how long what comes now is by its own word.

        Raises:
            AudioTooLongError: that is too long.
        """
        if length_s is not None:
            self._check(self.samples + int((length_s * (1 - _TOLERANCE) - _TOLERANCE_S) * SAMPLE_RATE))

    def put(self, pieces: Iterable[Samples]) -> None:
        """Take samples.

        Raises:
            AudioTooLongError: they are too many.
        """
        for samples in pieces:
            self._check(self.samples + len(samples))
            self.samples += len(samples)
            sound = np.abs(samples) < _ABSURD  # false for NaN too
            self.broken |= not sound.all()
            self._write(np.where(sound, samples, np.float32(0)))
        self.progress()

    def silence_until(self, sample: int) -> None:
        """Fill with silence up to a number of samples.

        Raises:
            AudioTooLongError: they are too many; none is written.
        """
        self._check(sample)
        while self.samples < sample:
            self.put([np.zeros(min(_SILENCE, sample - self.samples), dtype=np.float32)])

    def progress(self) -> None:
        """Say how far it is."""
        self._on_progress(self.samples / SAMPLE_RATE)

    def _check(self, samples: int) -> None:
        if samples > self._longest_s * SAMPLE_RATE:
            raise AudioTooLongError(
                f"The audio is longer than {self._longest_s:g} s.", hint="Split it, or ask the operator for more."
            )
