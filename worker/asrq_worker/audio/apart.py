"""Two channels on their way to files of their own, and whether to hear both. Runs in the decoder process only.

They are alike if either tells the other: predicted from the other by a factor, no more than `ALIKE` of its power is
missing (1 - r², r being Pearson's correlation of their samples). So it does not matter which is louder, or whether one
is wired the wrong way round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from asrq_worker.backends.base import Samples

ALIKE = 1e-3
"""Of the power; -30 dB. What encoders make of twice the same channel differs by less."""


_ROUNDING = 1e-9


class Apart:
    """Takes what is decoded and hands it to `writes`, one for each channel."""

    def __init__(self, writes: Sequence[Callable[[Samples], None]]) -> None:
        self._writes = writes
        self._several = False
        self._count = 0
        self._sums = np.zeros(2)
        self._products = np.zeros((2, 2))

    def write(self, samples: Samples) -> None:
        """Take float32 of shape (n, 2), or (n,) where both channels are the same."""
        self._several |= samples.ndim > 1
        both = samples if samples.ndim > 1 else np.stack((samples, samples), axis=1)
        exact = both.astype(np.float64)
        self._count += len(exact)
        self._sums += exact.sum(axis=0)
        self._products += exact.T @ exact
        for channel, write in enumerate(self._writes):
            write(np.ascontiguousarray(both[:, channel]))

    def heard(self) -> tuple[list[int], bool]:
        """Return which channels are to be heard, from 0, and whether there are two that are alike: then the louder."""
        if not self._several:
            return [0], False
        power = self._products - np.outer(self._sums, self._sums) / max(self._count, 1)
        (one, both), (_, other) = power
        silent = (power <= _ROUNDING * self._products).diagonal().any()
        if silent or 1 - both**2 / (one * other) > ALIKE:
            return [0, 1], False
        return [0 if one >= other else 1], True
