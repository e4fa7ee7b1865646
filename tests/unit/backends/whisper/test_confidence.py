"""How likely a word is right."""

from __future__ import annotations

import pytest

from asrq_worker.backends.base import TimedSegment, TimedWord, Transcript
from asrq_worker.backends.whisper import confidence

MEASURED = [("base", "en"), ("base", "ru"), ("tiny.en", "en")]


@pytest.mark.parametrize(("model", "language"), MEASURED)
def test_it_grows_with_the_probability_and_is_a_share(model: str, language: str) -> None:
    found = [confidence.of_word(model, language, p) for p in (0.0, 0.1, 0.5, 0.9, 1.0)]
    told = [value for value in found if value is not None]
    assert len(told) == 5
    assert told == sorted(set(told))
    assert 0 <= told[0] < 0.5 < told[-1] <= 1


@pytest.mark.parametrize(("model", "language"), [("base", "de"), ("base", None), ("small", "en"), ("/base", "en")])
def test_what_was_not_measured_has_none(model: str, language: str | None) -> None:
    assert confidence.of_word(model, language, 0.9) is None


def test_words_of_a_transcript_get_it_and_segments_without_words_stay() -> None:
    segments = (
        TimedSegment(0.0, 1.0, " Yes.", words=(TimedWord(" Yes.", 0.0, 1.0, 0.9), TimedWord(" No.", 1.0, 2.0))),
        TimedSegment(1.0, 2.0, " So."),
    )
    told = confidence.told(Transcript("Yes. So.", "en", segments=segments), "base")
    assert told.segments[0].words is not None
    assert [word.confidence for word in told.segments[0].words] == [confidence.of_word("base", "en", 0.9), None]
    assert told.segments[1] == segments[1]
