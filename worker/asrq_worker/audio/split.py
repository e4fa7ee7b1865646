"""Cuts speech into pieces that a model can take. Pure: the same spans always give the same pieces."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from asrq_worker.backends.base import SAMPLE_RATE, Samples

_SILENCE = 2 * SAMPLE_RATE  # nobody transcribes a longer gap
_PAUSE = 0.3  # s; speech detection ends a span only at such a pause, then pads it, so touching spans have one too
_FRAME = SAMPLE_RATE // 50  # 20 ms: shorter than a syllable, longer than a pitch period
_VIEW = 1.25  # longest pieces ahead; of what is longer, a short rest cannot remain
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
    pauses, and so that no short rest remains: models do badly on short rests.
    """
    return settled(spans, math.inf, longest_s=longest_s, read=read)


def settled(spans: Sequence[Span], until: float, *, longest_s: float, read: Read) -> list[Piece]:
    """Return the first pieces of `split`, as many as any speech that begins at `until` or later leaves as they are.

    The arguments are otherwise those of `split`.
    """
    longest = int(longest_s * SAMPLE_RATE)
    runs = list(_runs(spans, longest, read))
    closed = [True for _ in runs[1:]] + [until - run[-1].stop >= _SILENCE for run in runs[-1:]]
    return [piece for run, ends in zip(runs, closed, strict=True) for piece in _pack(run, longest, ends=ends)]


def _runs(spans: Sequence[Span], longest: int, read: Read) -> Iterator[list[_Unit]]:
    """Yield the units of speech without a long silence."""
    run: list[_Unit] = []
    for start, stop in spans:
        gap = start - run[-1].stop if run else 0
        if gap >= _SILENCE:
            yield run
            run = []
        run += _cut(start, stop, gap / SAMPLE_RATE + _PAUSE, longest, read)
    if run:
        yield run


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


def _pack(run: Sequence[_Unit], longest: int, *, ends: bool) -> Iterator[Piece]:
    """Join neighbours, from the first on. Where the run may go on, what that might change is left out.

    So a cut depends on what is near it alone, and is made as soon as that was said.
    """
    first = 0
    while first < len(run) and (ends or run[-1].stop - run[first].start > _VIEW * longest):
        cut = _best_cut(run, first, longest)
        yield Piece(run[first].start, run[cut - 1].stop)
        first = cut


def _best_cut(run: Sequence[_Unit], first: int, longest: int) -> int:
    """Return before which unit the piece that begins with `first` ends.

    A piece costs 1 and the square of how far it falls short of the longest, so few and even pieces win; a cut costs
    the more, the shorter the pause it is made at. Where the end is in view and two pieces do, their sum decides;
    elsewhere what a second costs.
    """
    start, end = run[first].start, run[-1].stop
    if end - start <= longest:
        return len(run)
    cuts = list(itertools.takewhile(lambda cut: run[cut - 1].stop - start <= longest, range(first + 1, len(run))))

    def cost(cut: int) -> float:
        return 1 + (1 - (run[cut - 1].stop - start) / longest) ** 2 + 1 / (1 + 4 * run[cut].pause)

    if end - start <= _VIEW * longest and (last := [cut for cut in cuts if end - run[cut].start <= longest]):
        return min(last, key=lambda cut: cost(cut) + (1 - (end - run[cut].start) / longest) ** 2)
    return min(cuts, key=lambda cut: cost(cut) / (run[cut - 1].stop - start))
