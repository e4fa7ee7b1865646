"""The words of a segment with times, from those of its tokens. Pure.

A token is taken to last until the next one begins, so the last word before a pause comes out too long, and so does the
first one after it: such words are cut to twice the median of all words, as faster-whisper does.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from asrq_worker.backends.base import TimedWord

_LONGEST_MEDIAN_S = 0.7
_FAR_S = 0.5  # a word that begins or ends so far outside its segment is wrong, nearer ones are right
_OPENING = "\"'“¿([{-"
_CLOSING = "\"'.。,，!！?？:：”)]}、"
_SENTENCE_ENDS = ".。!！?？"


@dataclass(frozen=True)
class Written:
    """A word as written, with the space before it, and how many tokens it is made of."""

    word: str
    tokens: int


def placed(words: Sequence[Written], times: Sequence[float], probabilities: Sequence[float]) -> list[TimedWord]:
    """Return words with the times and the mean probability of their tokens; punctuation belongs to its word.

    Args:
        words: in order.
        times: seconds at which each token begins and the last one ends, one more than tokens.
        probabilities: of each token.
    """
    found: list[TimedWord] = []
    at = 0
    for word in words:
        stop = at + word.tokens
        found.append(TimedWord(word.word, times[at], times[stop], statistics.fmean(probabilities[at:stop])))
        at = stop
    return _with_punctuation(found)


def longest_s(words: Sequence[TimedWord]) -> float:
    """Return how long a word may be among these."""
    lasting = [word.end - word.start for word in words if word.end > word.start]
    return 2 * min(statistics.median(lasting), _LONGEST_MEDIAN_S) if lasting else 0.0


def within(words: Sequence[TimedWord], start: float, end: float, longest: float) -> list[TimedWord]:
    """Return the words of a segment, cut where a pause before or after them was counted in.

    Args:
        words: of the segment, in order.
        start: of the segment, seconds.
        end: of the segment, seconds.
        longest: see `longest_s`.
    """
    found = list(words)
    for number, word in enumerate(found):
        opens = number == 0 or found[number - 1].word[-1:] in _SENTENCE_ENDS
        closes = number == len(found) - 1 or word.word[-1:] in _SENTENCE_ENDS
        if word.end - word.start > longest and (opens or closes):
            found[number] = (
                replace(word, start=word.end - longest) if opens else replace(word, end=word.start + longest)
            )
    if found and found[0].start + _FAR_S < start < found[0].end:
        found[0] = replace(found[0], start=start)
    if found and found[-1].start < end < found[-1].end - _FAR_S:
        found[-1] = replace(found[-1], end=end)
    return found


def _with_punctuation(words: Sequence[TimedWord]) -> list[TimedWord]:
    merged: list[TimedWord] = []
    for word in words:
        before = merged[-1] if merged else None
        mark = word.word.strip()
        if before and mark and mark in _CLOSING and not word.word.startswith(" "):
            merged[-1] = replace(before, word=before.word + word.word)
        elif before and before.word.startswith(" ") and before.word.strip() in _OPENING:
            merged[-1] = replace(word, word=before.word + word.word)
        else:
            merged.append(word)
    return merged
