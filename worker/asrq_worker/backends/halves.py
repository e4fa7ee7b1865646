"""A chunk that came out wrong as a whole is heard in parts: where to cut it, and how what was heard is joined. Pure.

What a speaker repeats is there again when its parts are heard alone, and what only the model repeats is not. So the
sound decides how often a thing was said; no text is judged by its looks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from asrq_jobs import atoms
from asrq_worker.backends.base import SAMPLE_RATE, Chunk, Samples, TimedSegment, Transcript

SPLITTABLE_S = 4.0
"""Halves of less say too little for a model to go by."""

_FRAME = SAMPLE_RATE // 50  # 20 ms: shorter than a syllable, longer than a pitch period
_QUIET = 5  # frames: a cut keeps clear of the sounds on either side


def halves(chunk: Chunk) -> tuple[Chunk, Chunk]:
    """Cut a chunk at a quiet place."""
    at = _quietest_near_middle(chunk.samples)
    return replace(chunk, samples=chunk.samples[:at]), replace(chunk, samples=chunk.samples[at:])


def joined(left: Transcript, right: Transcript, at: float, *warnings: str) -> Transcript:
    """Return one transcript of a chunk whose right part begins at so many seconds; `warnings` come before theirs."""
    text = atoms.joined([left.text, right.text])
    gap = text[len(left.text) : len(text) - len(right.text)]
    moved = [_later(segment, at) for segment in right.segments]
    if moved:
        moved[0] = replace(moved[0], text=gap + moved[0].text.lstrip())
    longer = max((left, right), key=lambda part: len(part.text))
    return Transcript(
        text,
        longer.language,
        longer.language_probability,
        segments=(*left.segments, *moved),
        warnings=tuple(dict.fromkeys((*warnings, *left.warnings, *right.warnings))),
        truncated=left.truncated or right.truncated,
    )


def _quietest_near_middle(samples: Samples) -> int:
    """Return the middle of the quietest 0.1 s in the middle third of samples of shape (n,), as an index."""
    third = len(samples) // 3
    frames = samples[third : third + third // _FRAME * _FRAME].reshape(-1, _FRAME)
    energies = np.convolve(np.square(frames).sum(axis=1), np.ones(_QUIET), "valid")
    return third + int(energies.argmin()) * _FRAME + _QUIET * _FRAME // 2


def _later(segment: TimedSegment, by: float) -> TimedSegment:
    words = segment.words and tuple(replace(word, start=word.start + by, end=word.end + by) for word in segment.words)
    return replace(segment, start=segment.start + by, end=segment.end + by, words=words)
