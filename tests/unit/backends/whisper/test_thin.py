"""Which places of a chunk have too little text for what is said there."""

from __future__ import annotations

import numpy as np
import pytest

from asrq_worker.backends.base import SAMPLE_RATE, Samples, TimedSegment
from asrq_worker.backends.whisper.thin import hushed, lacks, speech, spelled, thin


def sound(*parts: tuple[float, float]) -> Samples:
    """Return so many seconds of so much amplitude, one after the other."""
    return np.concatenate([np.full(round(seconds * SAMPLE_RATE), peak, np.float32) for seconds, peak in parts])


def segment(start: float, end: float, letters: int) -> TimedSegment:
    return TimedSegment(start, end, "a" * letters)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("at 9 o'clock", 12),
        ("в полдень", 8),
        ("今天天气很好。", 24),
        ("きょうはいい天気です", 24),
        ("오늘은 날씨가", 12),
        ("नमस्ते", 6),
        ("สวัสดี", 6),
        ("صباح الخير", 14.4),
    ],
)
def test_signs_for_syllables_and_words_take_longer_to_say(text: str, letters: float) -> None:
    assert spelled(text) == pytest.approx(letters)


def test_pauses_are_no_speech_and_what_is_quiet_is() -> None:
    samples = sound((2, 0.5), (0.2, 0), (2, 0.5), (1, 0.0), (4, 0.04), (1, 0.0), (1, 0.5))
    assert speech(samples).sum() / 50 == pytest.approx(4.2 + 3 + 1, abs=0.1), "1.5 s around what is loud, it is a pause"
    assert [(start, end) for start, end in hushed(samples)] == [pytest.approx((5.4, 9.0), abs=0.5)]
    assert hushed(sound((2, 0.5), (1, 0.04), (2, 0.5))) == [], "too short for a sentence"
    assert len(speech(samples[:0])) == len(hushed(samples[:0])) == 0


def test_segments_and_gaps_with_too_few_letters_are_thin() -> None:
    said, seconds = speech(sound((20, 0.5))), 20.0
    assert thin([segment(0, 10, 120), segment(10, 20, 110)], said, seconds) == []
    assert thin([segment(0, 10, 70), segment(10, 20, 110)], said, seconds) == [(0, 10)]
    assert thin([segment(0, 7, 80), segment(10, 17, 80)], said, seconds) == [(7, 10), (17, 20)]
    assert thin([segment(0, 18, 200), segment(18, 20, 3)], said, seconds) == [], "one word, drawn out"


def test_something_is_missing_where_nobody_speaks_so_slowly() -> None:
    said, seconds = speech(sound((20, 0.5))), 20.0
    assert not lacks([segment(0, 10, 70), segment(10, 20, 110)], said, seconds), "slowly spoken"
    assert lacks([segment(0, 10, 30), segment(10, 20, 110)], said, seconds)
    assert lacks([segment(0, 16, 200)], said, seconds)
    assert not lacks([segment(0, 16, 200)], speech(sound((16, 0.5), (4, 0))), seconds)
