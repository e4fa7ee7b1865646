"""Splitting speech: nothing lost, nothing twice, nothing too long, cuts where they hurt least."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_worker.audio.split import Piece, settled, split, split_again
from asrq_worker.backends.base import SAMPLE_RATE, Samples

LONGEST_S = 28.0

Span = tuple[int, int]


def seconds(*spans: tuple[float, float]) -> list[Span]:
    return [(round(start * SAMPLE_RATE), round(stop * SAMPLE_RATE)) for start, stop in spans]


def hum(start: int, stop: int) -> Samples:
    """A steady hum: every place is as good as any other."""
    return np.ones(stop - start, dtype=np.float32)


@st.composite
def speech(draw: st.DrawFn) -> list[Span]:
    spans: list[Span] = []
    at = 0
    for gap, length in draw(
        st.lists(st.tuples(st.integers(0, 4 * SAMPLE_RATE), st.integers(1, 90 * SAMPLE_RATE)), max_size=40)
    ):
        spans.append((at + gap, at + gap + length))
        at += gap + length
    return spans


@given(speech(), st.floats(5, 30))
def test_every_sample_of_speech_is_in_exactly_one_piece(spans: list[Span], longest_s: float) -> None:
    pieces = split(spans, longest_s=longest_s, read=hum)
    assert all(0 < piece.seconds <= longest_s for piece in pieces)
    assert all(before.stop <= after.start for before, after in pairwise(pieces))
    inside = sum(max(0, min(stop, p.stop) - max(start, p.start)) for start, stop in spans for p in pieces)
    assert inside == sum(stop - start for start, stop in spans)


@given(speech())
def test_long_silence_is_in_no_piece(spans: list[Span]) -> None:
    pieces = split(spans, longest_s=LONGEST_S, read=hum)
    for (_, end), (start, _) in pairwise(spans):
        if start - end >= 2 * SAMPLE_RATE:
            assert not any(piece.start < start and piece.stop > end for piece in pieces)


@given(speech())
def test_a_piece_that_is_cut_again_loses_nothing_and_becomes_shorter(spans: list[Span]) -> None:
    for piece in split(spans, longest_s=LONGEST_S, read=hum):
        if piece.seconds < 1:
            continue
        parts = split_again(piece, spans, read=hum)
        assert len(parts) >= 2
        assert (parts[0].start, parts[-1].stop) == (piece.start, piece.stop)
        assert all(part.seconds <= piece.seconds * 2 / 3 for part in parts)
        inside = sum(max(0, min(stop, p.stop) - max(start, p.start)) for start, stop in spans for p in parts)
        assert inside == sum(max(0, min(stop, piece.stop) - max(start, piece.start)) for start, stop in spans)


@given(speech())
def test_the_same_spans_give_the_same_pieces(spans: list[Span]) -> None:
    assert split(spans, longest_s=LONGEST_S, read=hum) == split(list(spans), longest_s=LONGEST_S, read=hum)


def test_no_speech_gives_no_pieces() -> None:
    assert split([], longest_s=LONGEST_S, read=hum) == []


def test_short_pauses_stay_inside_a_piece() -> None:
    spans = seconds((1, 5), (5.5, 9), (10, 12))
    assert split(spans, longest_s=LONGEST_S, read=hum) == [Piece(SAMPLE_RATE, 12 * SAMPLE_RATE)]


def test_the_longest_pause_is_cut_at() -> None:
    spans = seconds((0, 14), (14.2, 17), (18.5, 20), (20.1, 33))
    assert [piece.stop for piece in split(spans, longest_s=LONGEST_S, read=hum)] == [17 * SAMPLE_RATE, 33 * SAMPLE_RATE]


def test_no_short_rest_remains() -> None:
    spans = seconds(*((i, i + 0.7) for i in range(31)))
    lengths = [piece.seconds for piece in split(spans, longest_s=LONGEST_S, read=hum)]
    assert len(lengths) == 2
    assert min(lengths) > 14


def test_speech_without_a_pause_is_cut_at_its_quietest_place() -> None:
    samples = np.random.default_rng(1).normal(0, 0.3, 40 * SAMPLE_RATE).astype(np.float32)
    quiet = slice(round(18.0 * SAMPLE_RATE), round(18.06 * SAMPLE_RATE))
    samples[quiet] *= 0.01
    first, second = split([(0, len(samples))], longest_s=LONGEST_S, read=lambda start, stop: samples[start:stop])
    assert first.stop == second.start
    assert quiet.start <= first.stop <= quiet.stop


@pytest.mark.parametrize("length_s", [28.0, 28.001, 56.0, 56.001, 84.0, 300.0])
def test_speech_without_a_pause_is_cut_into_as_few_pieces_as_possible(length_s: float) -> None:
    pieces = split(seconds((0, length_s)), longest_s=LONGEST_S, read=hum)
    assert len(pieces) == -(-round(length_s * 1000) // round(LONGEST_S * 1000))


@given(speech(), st.data())
def test_what_is_settled_stays_whatever_is_said_later(spans: list[Span], data: st.DataObject) -> None:
    known = data.draw(st.integers(0, len(spans)))
    until = spans[known][0] if known < len(spans) else (spans[-1][1] if spans else 0)
    pieces = split(spans, longest_s=LONGEST_S, read=hum)
    early = settled(spans[:known], until, longest_s=LONGEST_S, read=hum)
    assert early == pieces[: len(early)]
    heard = early[-1].stop if early else 0
    left = [(max(start, heard), stop) for start, stop in spans[:known] if stop > heard]
    if left:
        assert until - left[-1][1] < 2 * SAMPLE_RATE
        assert left[-1][1] - left[0][0] <= 1.25 * LONGEST_S * SAMPLE_RATE


def test_what_is_settled_follows_the_speaker() -> None:
    spans = seconds(*((10.0 * n, 10.0 * n + 9.5) for n in range(6)))
    assert settled(spans[:3], spans[2][1], longest_s=LONGEST_S, read=hum) == []
    first = Piece(spans[0][0], spans[1][1])
    assert settled(spans[:4], spans[3][1], longest_s=LONGEST_S, read=hum) == [first]
    assert settled(spans[:5], spans[4][1], longest_s=LONGEST_S, read=hum) == [first]
    assert settled(spans, spans[5][1], longest_s=LONGEST_S, read=hum) == [first, Piece(spans[2][0], spans[3][1])]
