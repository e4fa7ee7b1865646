"""Which windows of speech are one voice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from asrq_worker.backends.base import SAMPLE_RATE
from asrq_worker.speakers import clusters
from asrq_worker.speakers.clusters import Number, Turn, Vectors

pytest.importorskip("scipy", reason="comes with the extra speakers")

RANDOM = np.random.default_rng(1)


def s(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def voices(whose: Sequence[int]) -> Vectors:
    """A vector for each window, near that of its speaker."""
    vectors = np.eye(8)[list(whose)] + RANDOM.normal(0, 0.1, (len(whose), 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def same(found: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether they are the same but for the names."""
    return len(set(zip(found, wanted, strict=True))) == len(set(found)) == len(set(wanted))


def test_windows_cover_each_span_and_nothing_else() -> None:
    spans = [(s(1), s(2)), (s(3), s(6)), (s(10), s(20))]
    listened = clusters.windows(spans)
    assert listened[:2] == spans[:2]
    assert (listened[2][0], listened[-1][1]) == spans[2]
    assert all(stop - start <= s(3) for start, stop in listened)
    assert all(later[0] - one[0] <= s(1.5) for one, later in pairwise(listened[2:]))


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (Number(), [0, 0, 1, 0, 1, 2, 2]),
        (Number(3, 3), [0, 0, 1, 0, 1, 2, 2]),
        (Number(1, 1), [0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_voices_that_are_alike_are_one_speaker(number: Number, wanted: list[int]) -> None:
    listened = [(s(3 * place), s(3 * place + 2)) for place in range(7)]
    assert same(clusters.speakers(voices([0, 0, 1, 0, 1, 2, 2]), listened, number).tolist(), wanted)


def test_who_hardly_speaks_is_no_speaker_unless_so_many_are_asked_for() -> None:
    whose = [0, 0, 1, 1, 2]
    listened = [(s(3 * place), s(3 * place + (1 if who == 2 else 2))) for place, who in enumerate(whose)]
    assert len(set(clusters.speakers(voices(whose), listened, Number()).tolist())) == 2
    assert same(clusters.speakers(voices(whose), listened, Number(3, 3)).tolist(), whose)
    assert clusters.speakers(voices([0]), listened[:1], Number(2, 2)).tolist() == [0]


def test_a_long_recording_is_compared_in_part_and_told_apart_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_MOST", 20)
    whose = [place // 10 % 2 for place in range(100)]
    listened = [(s(3 * place), s(3 * place + 2)) for place in range(100)]
    assert same(clusters.speakers(voices(whose), listened, Number()).tolist(), whose)


def test_turns_hold_all_speech_and_are_counted_as_they_begin() -> None:
    spans = [(s(0), s(2)), (s(3), s(9)), (s(9), s(10))]
    listened = clusters.windows(spans)
    assert listened[1:4] == [(s(3), s(6)), (s(4.5), s(7.5)), (s(6), s(9))]
    assert clusters.turns(spans, listened, [4, 4, 4, 1, 1]) == [
        Turn(s(0), s(2), 0),
        Turn(s(3), s(6.75), 0),
        Turn(s(6.75), s(10), 1),
    ]
