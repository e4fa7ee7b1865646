"""Which stretches of a transcript are doubted."""

from __future__ import annotations

from asrq_jobs.result import Doubtful, Word
from asrq_worker.job.doubtful import doubtful


def word(text: str, at: float, confidence: float | None, channel: int | None = None) -> Word:
    return Word(word=text, start=at, end=at + 0.5, confidence=confidence, channel=channel)


def test_words_in_a_row_are_one_stretch() -> None:
    said = [(" We", 0.9), (" met", 0.49), (" Ann,", 0.1), (" and", 0.5), (" Li", 0.2)]
    words = [word(text, number, confidence) for number, (text, confidence) in enumerate(said)]
    assert doubtful(words) == (
        Doubtful(start=1.0, end=2.5, text="met Ann,"),
        Doubtful(start=4.0, end=4.5, text="Li"),
    )


def test_a_stretch_is_of_one_channel() -> None:
    words = [word(" Yes", 0, 0.1, channel=1), word(" No", 0.2, 0.1, channel=2)]
    assert doubtful(words) == (
        Doubtful(start=0.0, end=0.5, text="Yes", channel=1),
        Doubtful(start=0.2, end=0.7, text="No", channel=2),
    )


def test_nothing_is_said_where_no_word_has_a_confidence() -> None:
    assert doubtful([]) is None
    assert doubtful([word(" We", 0, None)]) is None
    assert doubtful([word(" We", 0, None), word(" met", 1, 0.9)]) == ()
