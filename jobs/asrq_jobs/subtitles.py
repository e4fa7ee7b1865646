"""Subtitles from segments: text cut where a reader expects it, shown for as long as it takes to read.

The norms are by default those that broadcasters and Netflix's Timed Text Style Guides have in common: at most two lines
of 42 characters (wide characters count twice), 1 to 7 seconds a cue, at most 20 characters a second where the speech
allows.
Cues come in order, do not overlap, and hold all of the text; none ends after the audio.

The text is taken apart into atoms, which nothing may cut. Atoms get times from those of words or, without them, in
proportion to their length. The best way to gather them into cues is found by dynamic programming, as Knuth and Plass
break paragraphs into lines (1981); last, cues get the time that is free around them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf

from asrq_jobs import atoms
from asrq_jobs.atoms import Atom
from asrq_jobs.result import Segment

_SILENCE_MS = 2000  # what is said after it would be shown too early
_PAUSE_MS = 300  # a breath: good for a cut

# What a cut costs after these, and what a cue costs that is as nobody wants it. Only their order of size matters.
_CUE = 1.0
_CUT = {"sentence": 0.0, "clause": 0.7, "other": 2.0}
_PAUSED = 0.8  # taken off
_HALF_SENTENCE = 1.0  # the end of one and the beginning of the next in one cue
_ORPHAN = 3.0
_ORPHAN_CHARS = 12
_TOO_SHORT = 6.0  # for each second that is missing
_TOO_FAST = 1.0  # for each second that is missing to read it
_GAP = 1.5  # for each second of silence within


@dataclass(frozen=True)
class Norms:
    """What a cue may be."""

    line_chars: int = 42
    lines: int = 2
    line_words: int | None = None
    """Words in a line; None: as many as there is room for."""
    shortest_ms: int = 1000
    longest_ms: int = 7000
    chars_per_s: int = 20
    """How fast people read, where the speech allows it."""


NORMS = Norms()


@dataclass(frozen=True)
class Cue:
    """Its lines, and when they are shown, in milliseconds from the start."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Timed:
    """An atom, and when it is said, in milliseconds from the start."""

    atom: Atom
    start_ms: int
    end_ms: int


def cues(segments: Iterable[Segment], duration_s: float | None, norms: Norms = NORMS) -> list[Cue]:
    """Return the cues of segments in order of time; None: nobody knows how long the audio is."""
    limit_ms = _ms(duration_s) if duration_s else None
    said = _timed(segments, limit_ms, norms)
    groups = [said[first:last] for first, last in pairwise(_Cutter(said, limit_ms, norms).cuts())]
    times = _shown([(group[0].start_ms, group[-1].end_ms, _width(group)) for group in groups], limit_ms, norms)
    return [Cue(start, end, _lines(group, norms)) for group, (start, end) in zip(groups, times, strict=True)]


def _timed(segments: Iterable[Segment], limit_ms: int | None, norms: Norms = NORMS) -> list[_Timed]:
    """Return all atoms in order, none of them before another that it follows, or after the end."""
    found: list[_Timed] = []
    reached = 0
    for segment in segments:
        anchors = _anchors(segment)
        for atom in atoms.split(segment.text, longest=norms.line_chars, after=found[-1].atom.text if found else ""):
            start, end = _spoken(atom, anchors)
            start = max(reached, start if limit_ms is None else min(start, limit_ms))
            end = max(start, end if limit_ms is None else min(end, limit_ms))
            found.append(_Timed(atom, start, end))
            reached = start
    return found


def _anchors(segment: Segment) -> list[tuple[int, int, int, int]]:
    """Return stretches of the cleaned text with their times: from, to (characters), from, to (milliseconds).

    Words that are not in the text tell nothing about it; then the whole is one stretch.
    """
    text = atoms.cleaned(segment.text)
    found: list[tuple[int, int, int, int]] = []
    at = 0
    for word in segment.words or ():
        bare = atoms.cleaned(word.word)
        place = text.find(bare, at)
        if place < 0:
            found = []
            break
        at = place + len(bare)
        if bare:
            start = max(_ms(word.start), found[-1][2] if found else 0)
            found.append((place, at, start, max(start, _ms(word.end))))
    return found or [(0, len(text), _ms(segment.start), max(_ms(segment.start), _ms(segment.end)))]


def _spoken(atom: Atom, anchors: Sequence[tuple[int, int, int, int]]) -> tuple[int, int]:
    """Return when an atom is said, by the anchors that its first and last characters are in, or next to."""
    return _moment(atom.start, anchors, ahead=True), _moment(atom.end - 1, anchors, ahead=False)


def _moment(at: int, anchors: Sequence[tuple[int, int, int, int]], *, ahead: bool) -> int:
    """Return when a character begins or, not `ahead`, ends; one between two anchors goes with the nearer by sense."""
    index = max(bisect_right(anchors, at, key=lambda anchor: anchor[0]) - 1, 0)
    begin, end, start, stop = anchors[index]
    if at >= end:  # punctuation behind a word: what begins with it begins with the next word
        return anchors[index + 1][2] if ahead and index + 1 < len(anchors) else stop
    share = (max(at - begin, 0) + (0 if ahead else 1)) / (end - begin)
    return start + round(min(share, 1.0) * (stop - start))


class _Cutter:
    """Finds the cheapest of all ways to cut atoms into cues."""

    def __init__(self, said: Sequence[_Timed], limit_ms: int | None, norms: Norms) -> None:
        self._said = said
        self._limit_ms = limit_ms
        self._norms = norms

    def cuts(self) -> list[int]:
        """Return where the cues begin, and the end."""
        said = self._said
        cost = [0.0] + [inf] * len(said)
        come_from = [0] * (len(said) + 1)
        for first in range(len(said)):
            lines = _Filling(self._norms)
            for last in range(first + 1, len(said) + 1):
                if not self._may_follow(first, last - 1) or not lines.take(said[last - 1].atom):
                    break
                total = cost[first] + self._cost(first, last, lines.width)
                if total < cost[last]:
                    cost[last], come_from[last] = total, first
        cuts = [len(said)]
        while cuts[-1]:
            cuts.append(come_from[cuts[-1]])
        return cuts[::-1] if said else []

    def _may_follow(self, first: int, index: int) -> bool:
        """Whether an atom may be part of a cue that began before it."""
        said = self._said
        if index == first:
            return True
        silence = said[index].start_ms - said[index - 1].end_ms
        return silence <= _SILENCE_MS and said[index].end_ms - said[first].start_ms <= self._norms.longest_ms

    def _cost(self, first: int, last: int, width: int) -> float:
        """Return what the cue of the atoms from `first` to before `last` costs."""
        said, norms = self._said, self._norms
        start, end = said[first].start_ms, said[last - 1].end_ms
        following = said[last].start_ms if last < len(said) else self._limit_ms
        free = norms.longest_ms if following is None else min(max(following, end) - start, norms.longest_ms)
        pause = None if last == len(said) else said[last].start_ms - end
        paused = pause is None or pause >= _PAUSE_MS
        ends = said[last - 1].atom.ends
        total = _CUE + (said[last].atom.glue if last < len(said) else 0.0)
        if last < len(said):
            total += _CUT[ends] - (_PAUSED if paused and ends != "sentence" else 0.0)
        if ends != "sentence" and any(said[index].atom.ends == "sentence" for index in range(first, last - 1)):
            total += _HALF_SENTENCE
        if width < _ORPHAN_CHARS and not (ends == "sentence" and self._is_begun(first)):
            total += _ORPHAN
        total += _TOO_SHORT * max(0, norms.shortest_ms - free) / 1000
        total += _TOO_FAST * max(0.0, width / norms.chars_per_s - free / 1000)
        widest = max((said[index].start_ms - said[index - 1].end_ms for index in range(first + 1, last)), default=0)
        return total + (_GAP * widest / 1000 if widest > _PAUSE_MS else 0.0)

    def _is_begun(self, first: int) -> bool:
        """Whether a sentence begins with an atom."""
        return first == 0 or self._said[first - 1].atom.ends == "sentence"


class _Filling:
    """Lines that fill up, each as far as possible: if they do not hold the atoms so, nothing does."""

    def __init__(self, norms: Norms) -> None:
        self.width = 0
        self.lines = 1
        self._norms = norms
        self._here = self._words = 0

    def take(self, atom: Atom) -> bool:
        """Add an atom; False: there is no room for it."""
        space = 1 if atom.spaced and self.width else 0
        words = self._words + (atom.spaced or not self._here)
        wide = self._here + (space if self._here else 0) + atom.width > self._norms.line_chars
        if wide or (self._norms.line_words is not None and words > self._norms.line_words):
            if self.lines == self._norms.lines or atom.width > self._norms.line_chars:
                return False
            self.lines += 1
            self._here = self._words = 0
        self._here += (space if self._here else 0) + atom.width
        self._words += atom.spaced or not self._words
        self.width += space + atom.width
        return True


def _shown(spoken: Sequence[tuple[int, int, int]], limit_ms: int | None, norms: Norms = NORMS) -> list[tuple[int, int]]:
    """Return when cues are shown that are said from, to (milliseconds), and have so many characters.

    A cue that is too short to read takes the silence after it, then that before it; what speech leaves no room for is
    moved, for it to be there for the shortest time at all.
    """
    if not spoken:
        return []
    least = norms.shortest_ms if limit_ms is None else max(1, min(norms.shortest_ms, limit_ms // len(spoken)))
    starts = [start for start, _, _ in spoken]
    ends = [min(end, start + norms.longest_ms) for start, end, _ in spoken]
    bounds = [*starts[1:], inf if limit_ms is None else limit_ms]
    for index, bound in enumerate(bounds):
        ends[index] = int(min(max(ends[index], min(starts[index] + least, bound)), max(bound, starts[index])))
        if ends[index] - starts[index] < least:
            starts[index] = max(min(starts[index], ends[index] - least), ends[index - 1] if index else 0)
    reached = 0
    for index, start in enumerate(starts):
        starts[index] = max(start, reached)
        reached = ends[index] = max(ends[index], starts[index] + least)
    if limit_ms is not None:
        bound = limit_ms
        for index in reversed(range(len(starts))):
            ends[index] = min(ends[index], int(bound))
            starts[index] = bound = max(0, min(starts[index], ends[index] - least))
    for index, (_, _, width) in enumerate(spoken):
        wanted = starts[index] + min(max(least, ceil(width * 1000 / norms.chars_per_s)), norms.longest_ms)
        free = starts[index + 1] if index + 1 < len(starts) else inf if limit_ms is None else limit_ms
        ends[index] = int(max(ends[index], min(wanted, free)))
    return list(zip(starts, ends, strict=True))


def _lines(group: Sequence[_Timed], norms: Norms) -> tuple[str, ...]:
    """Return the text of a cue in as few lines as hold it, of about the same length, that part where it makes sense."""
    filling = _Filling(norms)
    for each in group:
        filling.take(each.atom)
    mean = _width(group) / filling.lines
    # For each number of lines, the best way to write the atoms before each place: what it costs, and where it parts.
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ()), *[(inf, ())] * len(group)]
    for _ in range(filling.lines):
        best = [_best_line(group, stop, best, mean, norms) for stop in range(len(group) + 1)]
    cuts = best[-1][1]
    return tuple(_text(group[first:last]) for first, last in pairwise((*cuts, len(group))))


def _best_line(
    group: Sequence[_Timed], stop: int, before: Sequence[tuple[float, tuple[int, ...]]], mean: float, norms: Norms
) -> tuple[float, tuple[int, ...]]:
    """Return the best way to end a line before an atom, given the best ways to end the line before it."""
    found = [
        (cost + _unevenness(group, start, stop, mean, norms), (*cuts, start))
        for start, (cost, cuts) in enumerate(before[:stop])
        if cost < inf and _fits(group[start:stop], norms)
    ]
    return min(found, default=(inf, ()))


def _unevenness(group: Sequence[_Timed], start: int, stop: int, mean: float, norms: Norms) -> float:
    uneven = abs(_width(group[start:stop]) - mean) / norms.line_chars
    if stop == len(group):
        return uneven
    return uneven + {"sentence": -0.5, "clause": -0.3, "other": 0.0}[group[stop - 1].atom.ends] + group[stop].atom.glue


def _fits(line: Sequence[_Timed], norms: Norms) -> bool:
    words = 1 + sum(each.atom.spaced for each in line[1:])
    return _width(line) <= norms.line_chars and (norms.line_words is None or words <= norms.line_words)


def _width(group: Sequence[_Timed]) -> int:
    return sum(each.atom.width + each.atom.spaced for each in group) - group[0].atom.spaced


def _text(group: Sequence[_Timed]) -> str:
    return "".join(f"{' ' * each.atom.spaced}{each.atom.text}" for each in group).strip()


def _ms(seconds: float) -> int:
    return round(max(seconds, 0.0) * 1000)
