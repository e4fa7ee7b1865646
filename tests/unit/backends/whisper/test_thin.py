"""Which places of a chunk have too little text for what is said there."""

from __future__ import annotations

import numpy as np
import pytest

from asrq_worker.backends.base import SAMPLE_RATE, Samples, TimedSegment
from asrq_worker.backends.whisper.thin import hushed, lacks, speech, spelled, stretched, thin


def sound(*parts: tuple[float, float]) -> Samples:
    """Return so many seconds of so much amplitude, one after the other."""
    return np.concatenate([np.full(round(seconds * SAMPLE_RATE), peak, np.float32) for seconds, peak in parts])


def syllables(seconds: float, peak: float) -> Samples:
    """Return so many seconds of so much amplitude, with a silence of 140 ms after each 0.2 s."""
    return np.resize(sound((0.2, peak), (0.14, 0)), round(seconds * SAMPLE_RATE))


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
    assert len(speech(samples[:0])) == 0


@pytest.mark.parametrize("pause", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("peak", [0.1, 0.05, 0.02])
def test_what_is_quieter_than_the_rest_is_found_between_others(pause: float, peak: float) -> None:
    """The loud ones on either side are near all of it: 3 s."""
    loud, gap = syllables(4, 0.5), sound((pause, 0))
    samples = np.concatenate([loud, gap, syllables(3, peak), gap, loud])
    [stretch] = hushed(samples)
    assert stretch == pytest.approx((4, 7 + 2 * pause), abs=0.5)


def test_pauses_and_words_are_no_other_speaker() -> None:
    loud = syllables(4, 0.5)
    noise = np.random.default_rng(1).normal(0, 0.01, 3 * SAMPLE_RATE).astype(np.float32)
    for between in (sound((3, 0)), noise, sound((3, 0.02)), syllables(1.5, 0.05), syllables(3, 0.2)):
        assert hushed(np.concatenate([loud, between, loud])) == []
    assert hushed(loud) == hushed(loud[:0]) == hushed(np.zeros_like(loud)) == []


def test_what_lasts_twice_as_long_as_the_same_words_elsewhere_was_said_twice() -> None:
    said = speech(sound((20, 0.5)))
    once = [TimedSegment(start, start + 1.5, " The press yard.") for start in (0.0, 1.5, 3.0)]
    twice, other = TimedSegment(4.5, 7.5, " The press yard!"), TimedSegment(7.5, 12.0, " Something else.")
    assert stretched([*once, twice, other], said) == [twice]
    assert stretched(once, said) == stretched([twice, other], said) == stretched([], said) == []
    cut_short = TimedSegment(12.0, 12.7, " The press yard.")
    assert stretched([*once, cut_short], said) == []
    drawn_out = [TimedSegment(0.0, 0.4, " No."), TimedSegment(0.4, 0.8, " No."), TimedSegment(0.8, 1.9, " No.")]
    assert stretched(drawn_out, said) == []


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
