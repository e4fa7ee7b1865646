"""Segments from the decoder's tokens."""

from __future__ import annotations

import pytest

from asrq_worker.backends.whisper.segments import Span, spans

ZERO = 1000
"""The token for 0.0 s."""


def at(seconds: float) -> int:
    return ZERO + round(seconds * 50)


def test_a_closed_segment_is_all_that_is_said() -> None:
    assert spans([at(0), 1, 2, at(1.5)], ZERO, 4.0) == ([Span(0.0, 1.5, (1, 2))], 4.0)


def test_two_times_in_a_row_stand_between_segments() -> None:
    tokens = [at(0.5), 1, at(1), at(1.2), 2, at(3)]
    assert spans(tokens, ZERO, 4.0) == ([Span(0.5, 1.0, (1,)), Span(1.2, 3.0, (2,))], 4.0)


def test_a_segment_that_is_not_finished_is_left_to_the_next_window() -> None:
    assert spans([at(0), 1, at(1), at(1.2), 2], ZERO, 4.0) == ([Span(0.0, 1.0, (1,))], 1.0)
    assert spans([at(0), 1, at(1), at(1)], ZERO, 4.0) == ([Span(0.0, 1.0, (1,))], 1.0)


@pytest.mark.parametrize("tokens", [[1, 2], [at(0), 1, 2]])
def test_text_without_an_end_lasts_as_long_as_the_window(tokens: list[int]) -> None:
    assert spans(tokens, ZERO, 4.0) == ([Span(0.0, 4.0, (1, 2))], 4.0)


@pytest.mark.parametrize("tokens", [[at(0), at(0), 1], [at(0), 1, at(0), at(0)], [at(2), 1, at(9), at(9)], []])
def test_each_window_is_the_last_one_or_leads_on(tokens: list[int]) -> None:
    """Else the same window would be heard again and again."""
    found, heard_s = spans(tokens, ZERO, 4.0)
    assert 0 < heard_s <= 4.0
    assert all(span.start <= span.end for span in found)
