"""Who said what: texts and turns."""

from __future__ import annotations

from asrq_jobs.result import Segment, Speaker, Word
from asrq_worker.backends.base import SAMPLE_RATE
from asrq_worker.job.voices import attributed, speakers
from asrq_worker.speakers.clusters import Turn
from asrq_worker.speakers.listener import Told

TURNS = tuple(
    Turn(round(start * SAMPLE_RATE), round(stop * SAMPLE_RATE), who)
    for start, stop, who in ((0, 4, 0), (5, 6, 1), (6, 9, 0))
)


def test_a_segment_is_said_by_the_one_who_speaks_for_most_of_it() -> None:
    times = [(0.0, 3.0), (3.5, 6.0), (4.2, 4.4), (4.8, 4.9), (5.5, 9.5)]
    said = [Segment(id=number, start=start, end=end, text="x") for number, (start, end) in enumerate(times)]
    assert [each.speaker for each in attributed(said, TURNS)] == ["S1", "S2", "S1", "S2", "S1"]
    assert attributed(said, ()) == tuple(said)


def test_words_have_their_own_speakers() -> None:
    words = [Word(word=" a", start=3.8, end=4.1), Word(word=" b", start=5.0, end=5.2)]
    assert [(each.word, each.speaker) for each in attributed(words, TURNS)] == [(" a", "S1"), (" b", "S2")]


def test_speakers_come_with_the_seconds_that_they_speak() -> None:
    told = Told(TURNS, (None, "Anna"))
    assert speakers(told) == (Speaker(id="S1", seconds=7), Speaker(id="S2", seconds=1, name="Anna"))
    assert speakers(Told()) == ()
