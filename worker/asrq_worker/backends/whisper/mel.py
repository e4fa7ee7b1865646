"""The Mel filter bank, applied so that the same samples give the same features in every process."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


class MelFilters:
    """Stands in for the matrix of filters in a log-Mel front end: `filters @ power`.

    A product of matrices is summed by BLAS, in an order that depends on how many threads it has, and int8 models make
    percents of the last bits. Most of the matrix is 0: to sum each filter's own bins, in their order, takes no longer.
    """

    def __init__(self, weights: Matrix) -> None:
        """`weights` is float32 of shape (mels, bins)."""
        self._bands: list[tuple[int, Matrix]] = []
        for filter_weights in weights:
            bins = np.flatnonzero(filter_weights)
            first, stop = (int(bins[0]), int(bins[-1]) + 1) if len(bins) else (0, 0)
            self._bands.append((first, filter_weights[first:stop, np.newaxis]))

    def __matmul__(self, power: Matrix) -> Matrix:
        """Return the energy in each filter, of shape (mels, frames), for power of shape (bins, frames)."""
        energy = np.empty((len(self._bands), power.shape[1]), np.float32)
        for mel, (first, weights) in enumerate(self._bands):
            np.sum(weights * power[first : first + len(weights)], axis=0, out=energy[mel])
        return energy
