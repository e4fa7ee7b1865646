"""Cuts speech into pieces that a model can take. Pure: the same spans always give the same pieces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from asrq_worker.backends.base import SAMPLE_RATE, Samples

_SILENCE = 2 * SAMPLE_RATE  # nobody transcribes a longer gap
_PAUSE = 0.3  # s; speech detection ends a span only at such a pause, then pads it, so touching spans have one too
_FRAME = SAMPLE_RATE // 50  # 20 ms: shorter than a syllable, longer than a pitch period
_SEARCH = 6  # a cut without a pause may move from its place by a sixth of the longest piece

Span = tuple[int, int]
Read = Callable[[int, int], Samples]


@dataclass(frozen=True)
class Piece:
    """A stretch of the audio to be transcribed at once; positions in samples, `stop` exclusive."""

    start: int
    stop: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.stop - self.start) / SAMPLE_RATE


@dataclass(frozen=True)
class _Unit:
    """Speech that is not cut further. `pause` is the silence before it in seconds; 0: none at all."""

    start: int
    stop: int
    pause: float


def split(spans: Sequence[Span], *, longest_s: float, read: Read) -> list[Piece]:
    """Pack spans of speech into pieces of at most `longest_s` seconds.

    `spans` are (start, stop) in samples at 16 kHz, in order and disjoint. `read(start, stop)` returns those samples,
    float32 of shape (stop - start,); it is asked only where a span is too long and must be cut at its quietest place.

    Every sample of speech is in exactly one piece. Silence of 2 s or more is in none. Cuts fall at the longest
    pauses, and rather near the middle of what must be divided than so that a short rest remains: models do badly on
    short rests.
    """
    longest = int(longest_s * SAMPLE_RATE)
    pieces: list[Piece] = []
    for run, _ in _runs(spans, 0, longest, read):
        pieces += _pack(run, longest)
    return pieces


def _runs(spans: Sequence[Span], until: int, longest: int, read: Read) -> Iterator[tuple[list[_Unit], bool]]:
    """Yield the units of speech without a long silence, and whether one follows, speech going on at `until` at best."""
    run: list[_Unit] = []
    for start, stop in spans:
        gap = start - run[-1].stop if run else 0
        if gap >= _SILENCE:
            yield run, True
            run = []
        run += _cut(start, stop, gap / SAMPLE_RATE + _PAUSE, longest, read)
    if run:
        yield run, until - run[-1].stop >= _SILENCE


def likely(spans: Sequence[Span], until: int, *, longest_s: float, read: Read) -> list[Piece]:
    """Return pieces into which `split` will pack these spans and any that begin at `until` or later.

    Where no long silence has closed them yet, they are those that enough speech for a whole piece follows: what comes
    may still change the plan, and does so seldom. The arguments are otherwise those of `split`.
    """
    longest = int(longest_s * SAMPLE_RATE)
    pieces: list[Piece] = []
    for run, closed in _runs(spans, until, longest, read):
        packed = _pack(run, longest)
        pieces += [piece for piece in packed if closed or run[-1].stop - piece.stop >= longest]
    return pieces


def split_again(piece: Piece, spans: Sequence[Span], *, read: Read) -> list[Piece]:
    """Cut a piece of these spans into two or three, each of at most two thirds of its length."""
    inside = [(max(start, piece.start), min(stop, piece.stop)) for start, stop in spans]
    return split([span for span in inside if span[0] < span[1]], longest_s=piece.seconds * 2 / 3, read=read)


def _cut(start: int, stop: int, pause: float, longest: int, read: Read) -> list[_Unit]:
    """Cut one span into as few parts as are short enough, of about the same length, at quiet places."""
    units: list[_Unit] = []
    while (length := stop - start) > longest:
        parts = math.ceil(length / longest)
        target = start + length // parts
        low = max(target - longest // _SEARCH, stop - (parts - 1) * longest)
        high = min(target + longest // _SEARCH, start + longest)
        at = low + _quietest(read(low, high)) if high - low > _FRAME else target
        units.append(_Unit(start, at, pause))
        start, pause = at, 0.0
    return [*units, _Unit(start, stop, pause)]


def _quietest(samples: Samples) -> int:
    """Return the middle of the quietest frame."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    energy = np.einsum("ij,ij->i", frames, frames, dtype=np.float64)
    return int(energy.argmin()) * _FRAME + _FRAME // 2


def _pack(run: Sequence[_Unit], longest: int) -> list[Piece]:
    """Join neighbours so that the sum of all costs is least.

    A piece costs 1 and the square of how far it falls short of the longest, so few and even pieces win; a cut costs
    the more, the shorter the pause it is made at.
    """
    cheapest = [0.0]
    first_of = [0]
    for end in range(1, len(run) + 1):
        best, best_first = math.inf, end - 1
        for first in range(end - 1, -1, -1):
            length = run[end - 1].stop - run[first].start
            if length > longest:
                break
            cost = cheapest[first] + 1 + (1 - length / longest) ** 2 + 1 / (1 + 4 * run[first].pause)
            if cost < best:
                best, best_first = cost, first
        cheapest.append(best)
        first_of.append(best_first)
    pieces: list[Piece] = []
    end = len(run)
    while end:
        first = first_of[end]
        pieces.append(Piece(run[first].start, run[end - 1].stop))
        end = first
    return pieces[::-1]
