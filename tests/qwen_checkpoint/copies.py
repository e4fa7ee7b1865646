"""Copies of a clip as microphones, telephones and rooms would make them, for training."""

from __future__ import annotations

from collections.abc import Iterator

import librosa
import numpy as np
from numpy.typing import NDArray

RATE = 16_000

Samples = NDArray[np.float32]


def copies(samples: Samples, count: int, rng: np.random.Generator) -> Iterator[Samples]:
    """Yield the clip itself, then altered copies; all float32 of shape (n,), mono, 16 kHz, within [-1, 1]."""
    yield samples
    for number in range(1, count):
        yield _altered(samples, number, rng)


def _altered(samples: Samples, number: int, rng: np.random.Generator) -> Samples:
    if number % 3 == 0:  # faster or slower, higher or lower
        samples = librosa.resample(samples, orig_sr=RATE, target_sr=int(RATE * rng.uniform(0.93, 1.07)))
    if number % 5 == 4:  # through a telephone
        narrow = librosa.resample(samples, orig_sr=RATE, target_sr=RATE // 2)
        samples = librosa.resample(narrow, orig_sr=RATE // 2, target_sr=RATE)
    before, after = (np.zeros(int(rng.uniform(0, longest) * RATE), np.float32) for longest in (0.5, 1.5))
    samples = np.concatenate([before, samples, after]) * _ratio(rng.uniform(-24, 6))
    if number % 2:
        loudness = np.sqrt(np.mean(samples**2)) * _ratio(-rng.uniform(3, 35))
        samples = samples + rng.standard_normal(len(samples)) * (loudness + 1e-5)
    return np.clip(samples, -1, 1).astype(np.float32)


def silences(rng: np.random.Generator) -> Iterator[Samples]:
    """Yield silence and faint noise of several lengths, as `copies` does."""
    for seconds in (0.5, 1, 2, 3):
        yield np.zeros(int(seconds * RATE), np.float32)
    for seconds in (0.5, 1, 2, 4):
        for loudness in (1e-4, 1e-3, 1e-2):
            yield (rng.standard_normal(int(seconds * RATE)) * loudness).astype(np.float32)


def _ratio(decibels: float) -> float:
    return float(10 ** (decibels / 20))
