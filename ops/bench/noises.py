"""Sounds that are no speech, made the same each time: samples of shape (n,), float32, 16 kHz."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
_HEARD_S = 8  # after that, a tone has decayed to less than a float32 shows

Samples = NDArray[np.float32]


def white(seconds: int) -> Samples:
    """The same energy at all frequencies."""
    return _level(_random(seconds).standard_normal(seconds * RATE))


def pink(seconds: int) -> Samples:
    """Less energy the higher the frequency, as rooms and streets have it."""
    return _level(_coloured(seconds, exponent=0.5))


def hum(seconds: int) -> Samples:
    """Mains: 50 Hz and its overtones."""
    time = _time(seconds)
    return _level(np.sum([np.sin(2 * np.pi * 50 * n * time) / n for n in range(1, 9)], axis=0))


def tones(seconds: int) -> Samples:
    """Like music: chords of decaying tones, two a second."""
    random, played = _random(seconds), np.zeros(seconds * RATE)
    since = _time(_HEARD_S)
    for beat in range(2 * seconds):
        heard = played[beat * RATE // 2 :][: len(since)]
        for note in random.choice([0, 3, 5, 7, 10, 12], 3):
            frequency = 220 * 2 ** (note / 12)
            heard += (np.sin(2 * np.pi * frequency * since) * np.exp(-4 * since))[: len(heard)]
    return _level(played)


def clicks(seconds: int) -> Samples:
    """Keys that are struck, four a second, at random."""
    random = _random(seconds)
    struck = random.standard_normal(seconds * RATE) * 0.001
    for at in random.integers(0, len(struck) - 400, 4 * seconds):
        struck[at : at + 400] += random.standard_normal(400) * np.exp(-np.arange(400) / 60)
    return _level(struck)


def breaths(seconds: int) -> Samples:
    """Noise of the band of breath that swells and fades in a second, every 2.5 s."""
    noise, time = _coloured(seconds, exponent=0.25), _time(seconds)
    return _level(noise * np.clip(np.sin(2 * np.pi * time / 2.5), 0, None) ** 2 + 0.002 * noise)


KINDS: tuple[Callable[[int], Samples], ...] = (white, pink, hum, tones, clicks, breaths)


def _random(seconds: int) -> np.random.Generator:
    return np.random.default_rng(seconds)


def _time(seconds: int) -> NDArray[np.float64]:
    return np.arange(seconds * RATE) / RATE


def _coloured(seconds: int, *, exponent: float) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(_random(seconds).standard_normal(seconds * RATE))
    bands = np.maximum(np.fft.rfftfreq(seconds * RATE, 1 / RATE), 20.0)
    coloured: NDArray[np.float64] = np.fft.irfft(spectrum / bands**exponent, seconds * RATE)
    return coloured


def _level(samples: NDArray[np.float64]) -> Samples:
    """Bring samples to 20 dB below full scale, root mean square, as speech may have it."""
    level: Samples = np.clip(samples * 0.1 / np.sqrt(np.square(samples).mean()), -1, 1).astype(np.float32)
    return level
