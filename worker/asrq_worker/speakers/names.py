"""Whose voice is whose: enrolled voices, and the speakers of a recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asrq_worker.speakers.clusters import Vectors
from asrq_worker.speakers.enrolled import Voice

SAME = 0.55
"""Cosine similarity from which on two vectors are one voice; `ops/bench/speakers.py --held-out` measures what comes of
it."""


def named(speakers: Vectors, voices: Sequence[Voice]) -> list[str | None]:
    """Return the name of each speaker, None of those that are not enrolled: shape (n, 192), unit vectors.

    The most alike are found first, and each name is given once.
    """
    found: list[str | None] = [None] * len(speakers)
    left = _likeness(speakers, voices)
    while left.size and left.max() >= SAME:
        speaker, voice = np.unravel_index(left.argmax(), left.shape)
        found[int(speaker)] = voices[int(voice)].name
        left[speaker, :] = left[:, voice] = -1.0
    return found


def _likeness(vectors: Vectors, voices: Sequence[Voice]) -> Vectors:
    """Return the cosine similarities of unit vectors, shape (n, 192), and voices: shape (n, len(voices))."""
    enrolled = np.array([voice.vector for voice in voices], dtype=np.float32).reshape(len(voices), vectors.shape[1])
    made: Vectors = vectors @ enrolled.T
    return made


def alike(voice: Voice, others: Sequence[Voice]) -> list[str]:
    """Return the names of the others that might be taken for a voice."""
    those = [other for other in others if other.name != voice.name]
    if not those:
        return []
    found = _likeness(np.array([voice.vector], dtype=np.float32), those)[0]
    return [other.name for other, value in zip(those, found, strict=True) if value >= SAME]
