"""Subtitles from segments: text cut where a reader expects it, shown for as long as it takes to read.

The norms are those that broadcasters and Netflix's Timed Text Style Guides have in common: at most two lines of 42
characters (wide characters count twice), 1 to 7 seconds a cue, at most 20 characters a second where the speech allows.
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
from math import inf

from asrq_jobs import atoms
from asrq_jobs.atoms import Atom
from asrq_jobs.result import Segment

LINE_CHARS = 42
SHORTEST_MS = 1000
LONGEST_MS = 7000
CHARS_PER_S = 20

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
class Cue:
    """One or two lines, and when they are shown, in milliseconds from the start."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Timed:
    """An atom, and when it is said, in milliseconds from the start."""

    atom: Atom
    start_ms: int
    end_ms: int


def cues(segments: Iterable[Segment], duration_s: float | None) -> list[Cue]:
    """Return the cues of segments in order of time; None: nobody knows how long the audio is."""
    limit_ms = _ms(duration_s) if duration_s else None
    said = timed(segments, limit_ms)
    groups = [said[first:last] for first, last in pairwise(_cuts(said, limit_ms))]
    times = shown([(group[0].start_ms, group[-1].end_ms, _width(group)) for group in groups], limit_ms)
    return [Cue(start, end, _lines(group)) for group, (start, end) in zip(groups, times, strict=True)]


def timed(segments: Iterable[Segment], limit_ms: int | None) -> list[Timed]:
    """Return all atoms in order, none of them before another that it follows, or after the end."""
    found: list[Timed] = []
    reached = 0
    for segment in segments:
        anchors = _anchors(segment)
        for atom in atoms.split(segment.text, after=found[-1].atom.text if found else ""):
            start, end = _spoken(atom, anchors)
            start = max(reached, start if limit_ms is None else min(start, limit_ms))
            end = max(start, end if limit_ms is None else min(end, limit_ms))
            found.append(Timed(atom, start, end))
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


def _cuts(said: Sequence[Timed], limit_ms: int | None) -> list[int]:
    """Return where the cues begin, and the end: the cheapest of all ways to cut."""
    cost = [0.0] + [inf] * len(said)
    come_from = [0] * (len(said) + 1)
    for first in range(len(said)):
        lines = _Filling()
        for last in range(first + 1, len(said) + 1):
            if not _may_follow(said, first, last - 1) or not lines.take(said[last - 1].atom):
                break
            total = cost[first] + _cost(said, first, last, lines.width, limit_ms)
            if total < cost[last]:
                cost[last], come_from[last] = total, first
    cuts = [len(said)]
    while cuts[-1]:
        cuts.append(come_from[cuts[-1]])
    return cuts[::-1] if said else []


class _Filling:
    """Two lines that fill up, the first one as far as possible: if they do not hold the atoms so, nothing does."""

    def __init__(self) -> None:
        self.width = 0
        self._lines = [0, 0]
        self._line = 0

    def take(self, atom: Atom) -> bool:
        """Add an atom; False: there is no room for it."""
        space = 1 if atom.spaced and self.width else 0
        here = self._lines[self._line]
        if here + (space if here else 0) + atom.width > LINE_CHARS:
            if self._line or atom.width > LINE_CHARS:
                return False
            self._line, here = 1, 0
        self._lines[self._line] = here + (space if here else 0) + atom.width
        self.width += space + atom.width
        return True


def _may_follow(said: Sequence[Timed], first: int, index: int) -> bool:
    """Whether an atom may stand in a cue that began before it."""
    if index == first:
        return True
    silence = said[index].start_ms - said[index - 1].end_ms
    return silence <= _SILENCE_MS and said[index].end_ms - said[first].start_ms <= LONGEST_MS


def _cost(said: Sequence[Timed], first: int, last: int, width: int, limit_ms: int | None) -> float:
    """Return what the cue of the atoms from `first` to before `last` costs."""
    start, end = said[first].start_ms, said[last - 1].end_ms
    following = said[last].start_ms if last < len(said) else limit_ms
    free = LONGEST_MS if following is None else min(max(following, end) - start, LONGEST_MS)
    pause = None if last == len(said) else said[last].start_ms - end
    paused = pause is None or pause >= _PAUSE_MS
    ends = said[last - 1].atom.ends
    total = _CUE + (said[last].atom.glue if last < len(said) else 0.0)
    if last < len(said):
        total += _CUT[ends] - (_PAUSED if paused and ends != "sentence" else 0.0)
    if ends != "sentence" and any(said[index].atom.ends == "sentence" for index in range(first, last - 1)):
        total += _HALF_SENTENCE
    if width < _ORPHAN_CHARS and not (ends == "sentence" and _is_begun(said, first)):
        total += _ORPHAN
    total += _TOO_SHORT * max(0, SHORTEST_MS - free) / 1000
    total += _TOO_FAST * max(0.0, width / CHARS_PER_S - free / 1000)
    widest = max((said[index].start_ms - said[index - 1].end_ms for index in range(first + 1, last)), default=0)
    return total + (_GAP * widest / 1000 if widest > _PAUSE_MS else 0.0)


def _is_begun(said: Sequence[Timed], first: int) -> bool:
    """Whether a sentence begins with an atom."""
    return first == 0 or said[first - 1].atom.ends == "sentence"


def shown(spoken: Sequence[tuple[int, int, int]], limit_ms: int | None) -> list[tuple[int, int]]:
    """Return when cues are shown that are said from, to (milliseconds), and have so many characters.

    A cue that is too short to read takes the silence after it, then that before it; what speech leaves no room for is
    moved, for it to be there for its second at all.
    """
    if not spoken:
        return []
    least = SHORTEST_MS if limit_ms is None else max(1, min(SHORTEST_MS, limit_ms // len(spoken)))
    starts = [start for start, _, _ in spoken]
    ends = [min(end, start + LONGEST_MS) for start, end, _ in spoken]
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
        wanted = min(starts[index] + max(least, width * 1000 // CHARS_PER_S), starts[index] + LONGEST_MS)
        free = starts[index + 1] if index + 1 < len(starts) else inf if limit_ms is None else limit_ms
        ends[index] = int(max(ends[index], min(wanted, free)))
    return list(zip(starts, ends, strict=True))


def _lines(group: Sequence[Timed]) -> tuple[str, ...]:
    """Return the text of a cue in one line, or in two of about the same length that part where it makes sense."""
    if _width(group) <= LINE_CHARS:
        return (_text(group),)
    fitting = [
        (_imbalance(group, cut), cut)
        for cut in range(1, len(group))
        if _width(group[:cut]) <= LINE_CHARS and _width(group[cut:]) <= LINE_CHARS
    ]
    cut = min(fitting)[1]
    return _text(group[:cut]), _text(group[cut:])


def _imbalance(group: Sequence[Timed], cut: int) -> float:
    before, after = group[cut - 1].atom, group[cut].atom
    uneven = abs(_width(group[:cut]) - _width(group[cut:])) / LINE_CHARS
    return uneven + {"sentence": -0.5, "clause": -0.3, "other": 0.0}[before.ends] + after.glue


def _width(group: Sequence[Timed]) -> int:
    return sum(each.atom.width + each.atom.spaced for each in group) - group[0].atom.spaced


def _text(group: Sequence[Timed]) -> str:
    return "".join(f"{' ' * each.atom.spaced}{each.atom.text}" for each in group).strip()


def _ms(seconds: float) -> int:
    return round(max(seconds, 0.0) * 1000)
