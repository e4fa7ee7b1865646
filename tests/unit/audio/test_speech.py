"""Which frames are speech, and that speech near the edge of the audio reaches to the edge."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faster_whisper")

from asrq_worker.audio.speech import Span, _voiced, keep_edges

SECOND = 16_000


@pytest.mark.parametrize(
    ("spans", "kept"),
    [
        ([], []),
        ([(3000, 90_000)], [(0, 100_000)]),
        ([(SECOND + 1, 80_000)], [(SECOND + 1, 80_000)]),
        ([(100, 5000), (90_000, 95_000)], [(0, 5000), (90_000, 100_000)]),
        ([(0, 100_000)], [(0, 100_000)]),
    ],
)
def test_only_what_is_near_is_kept(spans: list[Span], kept: list[Span]) -> None:
    assert keep_edges(spans, 100_000) == kept


@pytest.mark.parametrize(
    ("probabilities", "spans"),
    [
        ([], []),
        ([0.49] * 20, []),
        ([0.1, 0.5, 0.5, *[0.1] * 20], [(1, 3)]),
        ([0.5, *[0.36] * 30, 0.1, *[0.4] * 9, 0.1, 0.1], [(0, 31)]),
        ([0.5, *[0.1] * 10, 0.5, 0.1], [(0, 13)]),
        ([0.5, *[0.1] * 11, 0.5, 0.1], [(0, 1), (12, 14)]),
    ],
    ids=["nothing", "doubtful", "speech", "doubts within speech", "shorter than a pause", "a pause"],
)
def test_speech_goes_on_to_a_pause(probabilities: list[float], spans: list[Span]) -> None:
    assert _voiced(np.array(probabilities, np.float32)) == spans
