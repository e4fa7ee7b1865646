"""Speech for live jobs: recordings of the repository with long pauses between them, as raw sound and as a file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

DATA = Path(__file__).resolve().parent.parent / "data"
RATE = 16_000
_PAUSE_S = 3.0


def spoken(*names: str) -> bytes:
    """Return recordings, each followed by a pause, as 16-bit samples at 16 kHz."""
    parts: list[np.ndarray] = []
    for name in names:
        samples, rate = soundfile.read(DATA / f"{name}.flac", dtype="int16")
        assert rate == RATE
        parts += [samples, np.zeros(round(_PAUSE_S * RATE), dtype=np.int16)]
    return np.concatenate(parts).astype("<i2").tobytes()


def file_of(sound: bytes) -> bytes:
    """Return the same sound as a file."""
    file = io.BytesIO()
    soundfile.write(file, np.frombuffer(sound, "<i2"), RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def frames(sound: bytes, seconds: float = 0.1) -> Iterator[bytes]:
    """Yield it in frames of a length."""
    step = round(seconds * RATE) * 2
    yield from (sound[at : at + step] for at in range(0, len(sound), step))
