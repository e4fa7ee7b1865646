"""Whether a segment of text can have been said at its time, going by its own figures and by the sound. Pure.

Whisper invents sentences where speech ends and text does not: "Thank you for watching." None of the signs for that is
enough alone: hurried and improbable speech is common, and the model's own times are sometimes wrong by more than a
second. So a segment is taken for invented only where nobody can have said it in its place, because there is too little
time or too little sound for its letters, and where another sign agrees. How the limits were found and what they cost:
docs/explanation/quality-and-speed.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrq_worker.backends import guards
from asrq_worker.backends.base import SAMPLE_RATE, Samples, TimedSegment

Sound = NDArray[np.bool_]
"""For each 20 ms of a chunk, shape (n,), whether it is about as loud as the speech in it."""

_FRAME = SAMPLE_RATE // 50
_FRAMES_PER_SECOND = 50
_LOUD = 0.9  # quantile of the frames' energies that stands for the level of speech
_BELOW = 0.01  # of that energy: 20 dB less is a pause, or breath

_BURST = 5  # letters more than can be said, however short the place: times are multiples of 20 ms, at best
DIGIT = 4
"""Letters that a digit stands for when it is read out."""


@dataclass(frozen=True)
class PaceLimits:
    """What is a sign: above `fastest` letters a second or `densest` a second of sound, since consonants are faint.

    Also a mean log probability below `improbable`, and a no-speech probability above `silent`.
    """

    fastest: float = 25.0
    densest: float = 50.0
    improbable: float = -0.8
    silent: float = 0.4


LIMITS = PaceLimits()


def sound(samples: Samples) -> Sound:
    """Return where samples of shape (n,) sound; a last part of less than 20 ms is left out."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    energy = np.square(frames, dtype=np.float64).mean(axis=1)
    return energy > _BELOW * np.quantile(energy, _LOUD) if len(energy) else np.zeros(0, np.bool_)


def seconds_of_sound(sounds: Sound, start: float, end: float) -> float:
    """Return how many of these seconds sound."""
    inside = sounds[round(start * _FRAMES_PER_SECOND) : round(end * _FRAMES_PER_SECOND)]
    return int(inside.sum()) / _FRAMES_PER_SECOND


def pause(sounds: Sound, at: float) -> float:
    """Return how many seconds around this one are without sound."""
    place, loud = int(at * _FRAMES_PER_SECOND), np.flatnonzero(sounds)
    before, after = loud[loud <= place].max(initial=-1), loud[loud >= place].min(initial=len(sounds))
    return max(int(after - before) - 1, 0) / _FRAMES_PER_SECOND


def letters(text: str) -> int:
    """Return how many letters it takes to say a text."""
    return sum(DIGIT if character.isdigit() else character.isalpha() for character in text)


def invented(segments: Sequence[TimedSegment], sounds: Sound, seconds: float) -> list[TimedSegment]:
    """Return those of a chunk's segments that nobody can have said, in order.

    Args:
        segments: all of the chunk, in order.
        sounds: of the chunk.
        seconds: its length.
    """
    ends = [0.0, *(segment.end for segment in segments)]
    starts = [*(segment.start for segment in segments), seconds]
    rooms = [
        (min(ends[number], segment.start), max(segment.end, starts[number + 1]))
        for number, segment in enumerate(segments)
    ]
    return [segment for segment, room in zip(segments, rooms, strict=True) if _is_invented(segment, sounds, *room)]


def _is_invented(segment: TimedSegment, sounds: Sound, start: float, end: float) -> bool:
    """Judge a segment that was said between `start` and `end`, if at all: up to its neighbours it may be misplaced."""
    said = letters(segment.text) - _BURST
    hurried = said > LIMITS.fastest * (end - start)
    unheard = said > LIMITS.densest * seconds_of_sound(sounds, start, end)
    signs = (
        hurried,
        unheard,
        _improbable(segment),
        silent(segment),
        guards.repetition(segment.text) is not None,
    )
    return (hurried or unheard) and sum(signs) > 1


def doubted(segment: TimedSegment) -> bool:
    """Whether the model itself has its doubts about a segment."""
    return _improbable(segment) or silent(segment)


def _improbable(segment: TimedSegment) -> bool:
    return segment.avg_logprob is not None and segment.avg_logprob < LIMITS.improbable


def silent(segment: TimedSegment) -> bool:
    """Whether the model itself takes a segment for silence or noise."""
    return segment.no_speech_prob is not None and segment.no_speech_prob > LIMITS.silent
