"""The decoder's tokens as timed segments. Pure.

Whisper marks times by tokens of their own, in steps of 20 ms from the start of the window; two in a row stand between
segments, one at the end says that nothing is said after it (Radford et al. 2022, section 2.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TIMES_PER_SECOND = 50


@dataclass(frozen=True)
class Span:
    """A segment of a window: seconds from its start, and tokens of text."""

    start: float
    end: float
    tokens: tuple[int, ...]


def spans(tokens: Sequence[int], first_time: int, seconds: float) -> tuple[list[Span], float]:
    """Return the segments of a window, and the second up to which it was heard.

    Args:
        tokens: of text and of times; times are those from `first_time` on.
        first_time: the token for 0.0 s.
        seconds: length of what is said in the window.
    """
    is_time = [token >= first_time for token in tokens]
    between = [place for place in range(1, len(tokens)) if is_time[place - 1] and is_time[place]]
    finished = len(tokens) > 1 and is_time[-1] and not is_time[-2]
    if not between:
        times = [token for token in tokens if token > first_time]
        end = (times[-1] - first_time) / TIMES_PER_SECOND if times else seconds
        return [_span(tokens, first_time, 0.0, end)], seconds
    ends = [*between, len(tokens)] if finished else between
    found = [
        _span(tokens[start:end], first_time, _time(tokens[start], first_time), _time(tokens[end - 1], first_time))
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    heard = seconds if finished else found[-1].end
    return found, heard if 0 < heard < seconds else seconds


def _time(token: int, first_time: int) -> float:
    return max(token - first_time, 0) / TIMES_PER_SECOND


def _span(tokens: Sequence[int], first_time: int, start: float, end: float) -> Span:
    return Span(start, max(start, end), tuple(token for token in tokens if token < first_time))
