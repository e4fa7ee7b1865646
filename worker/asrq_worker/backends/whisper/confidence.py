"""How likely a word is right, from the mean probability of its tokens. Pure.

The decoder is too sure or not sure enough, by model and language. A logistic curve over the logit of its probability
(Platt, "Probabilistic Outputs for Support Vector Machines", 1999) says how often words with such a probability were
right in recordings with a reference. Where nothing was measured, nothing is said.
"""

from __future__ import annotations

import math
from dataclasses import replace

from asrq_worker.backends.base import TimedWord, Transcript

LEAST = 1e-4
"""Probabilities are taken to be this far from 0 and 1."""
_CURVES: dict[tuple[str, str], tuple[float, float]] = {
    ("base", "en"): (1.57, 0.69),
    ("base", "ru"): (-0.20, 1.00),
    ("tiny.en", "en"): (1.53, 0.82),
}
"""Offset and slope by model and language, fitted by `ops/bench/confidence.py` on half of the recordings."""


def of_word(model: str, language: str | None, probability: float) -> float | None:
    """Return the share of such words that are right, from 0 to 1; None where that was not measured."""
    if (curve := _CURVES.get((model, language or ""))) is None:
        return None
    offset, slope = curve
    clipped = min(max(probability, LEAST), 1 - LEAST)
    return 1 / (1 + math.exp(-(offset + slope * math.log(clipped / (1 - clipped)))))


def told(transcript: Transcript, model: str) -> Transcript:
    """Return a transcript whose words say how likely they are right."""

    def word(found: TimedWord) -> TimedWord:
        likely = None if found.probability is None else of_word(model, transcript.language, found.probability)
        return replace(found, confidence=likely)

    segments = (
        replace(segment, words=tuple(map(word, segment.words))) if segment.words else segment
        for segment in transcript.segments
    )
    return replace(transcript, segments=tuple(segments))
