"""Speech near the edge of the audio reaches to the edge."""

from __future__ import annotations

import pytest

pytest.importorskip("faster_whisper")

from asrq_worker.audio.speech import Span, keep_edges

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
