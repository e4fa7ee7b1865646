"""Chunks become one transcript."""

from __future__ import annotations

import pytest

from asrq_jobs.atoms import joined as join
from asrq_worker.backends.base import TimedSegment, TimedWord, Transcript
from asrq_worker.job.merge import ChunkTranscript, merge


@pytest.mark.parametrize(
    ("left", "right", "joined"),
    [
        ("one", "two", "one two"),
        ("one ", " two", "one two"),
        ("", " two ", "two"),
        ("one", "", "one"),
        ("今天", "天气", "今天天气"),  # Chinese writes no spaces
        ("今天。", "天气", "今天。天气"),
        ("hello", "世界", "hello 世界"),
        ("안녕", "하세요", "안녕 하세요"),  # Korean does
        ("раз", "два", "раз два"),
    ],
)
def test_texts_are_joined_as_their_script_is_written(left: str, right: str, joined: str) -> None:
    assert join([left, right]) == joined


def _transcript(text: str, language: str | None = "en", probability: float | None = None) -> Transcript:
    return Transcript(text=text, language=language, language_probability=probability)


def test_times_count_from_the_start_of_the_audio() -> None:
    segment = TimedSegment(0.5, 1.25, " two", words=(TimedWord(" two", 0.5, 1.25, 0.9),))
    merged = merge(
        [
            ChunkTranscript(0.0, 2.0, Transcript(" one", "en", segments=(TimedSegment(0.1, 1.0, " one"),))),
            ChunkTranscript(10.0, 12.0, Transcript(" two", "en", segments=(segment,))),
        ],
        word_timestamps=True,
    )
    assert merged.text == "one two"
    assert [(s.id, s.seek, s.start, s.end, s.text) for s in merged.segments] == [
        (0, 0, 0.1, 1.0, " one"),
        (1, 1000, 10.5, 11.25, " two"),
    ]
    assert [(w.word, w.start, w.end) for w in merged.words] == [(" two", 10.5, 11.25)]


def test_text_without_segments_becomes_one_for_its_chunk() -> None:
    merged = merge([ChunkTranscript(3.0, 5.5, _transcript("привет", "ru"))], word_timestamps=False)
    assert [(s.start, s.end, s.text, s.language) for s in merged.segments] == [(3.0, 5.5, "привет", "ru")]


def test_the_language_is_the_one_spoken_longest() -> None:
    merged = merge(
        [
            ChunkTranscript(0, 5, _transcript("a", "en", 0.9)),
            ChunkTranscript(5, 9, _transcript("б", "ru", 0.8)),
            ChunkTranscript(9, 12, _transcript("в", "ru", 0.4)),
            ChunkTranscript(12, 40, _transcript("", "de", 0.2)),  # silence speaks no language
        ],
        word_timestamps=False,
    )
    assert merged.language == "ru"
    assert merged.language_probability == pytest.approx((0.8 * 4 + 0.4 * 3) / 7)


def test_nothing_recognised_is_empty_and_not_invented() -> None:
    merged = merge([ChunkTranscript(0, 5, _transcript("", None))], word_timestamps=True)
    assert (merged.text, merged.language, merged.language_probability, merged.segments) == ("", None, None, ())


def test_warnings_are_told_once_and_truncation_is_kept() -> None:
    merged = merge(
        [
            ChunkTranscript(0, 5, Transcript("a", "en", warnings=("repetition",), truncated=True)),
            ChunkTranscript(5, 9, Transcript("b", "en", warnings=("repetition", "no_speech"))),
        ],
        word_timestamps=False,
    )
    assert merged.warnings == ("repetition", "no_speech")
    assert merged.truncated


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        ([(0.0, 2.0), (2.0, 4.0)], [(1.0, 3.0), (3.0, 5.0)]),
        ([(-0.5, 2.0), (2.0, 99.0)], [(1.0, 3.0), (3.0, 5.0)]),  # outside of the chunk
        ([(0.0, 3.0), (2.0, 4.0)], [(1.0, 3.0), (3.0, 5.0)]),  # they overlap
        ([(0.0, 4.0), (1.0, 2.0)], [(1.0, 2.0), (2.0, 3.0)]),  # one within the other
        ([(2.0, 3.0), (0.0, 1.0)], [(3.0, 4.0), (4.0, 4.0)]),  # the wrong way round
        ([(3.0, 1.0), (4.0, 4.0)], [(4.0, 4.0), (5.0, 5.0)]),  # an end before its start
        ([(50.0, 51.0), (2.0, 60.0)], [(5.0, 5.0), (5.0, 5.0)]),
    ],
)
def test_times_lie_in_their_chunk_and_in_order(
    given: list[tuple[float, float]], merged: list[tuple[float, float]]
) -> None:
    chunk = Transcript("a b", "en", segments=tuple(TimedSegment(*span, f" {n}") for n, span in enumerate(given)))
    words = tuple(TimedWord(f" {n}", *span) for n, span in enumerate(given))
    timed = Transcript("a b", "en", segments=(TimedSegment(0.0, 4.0, " a b", words=words),))
    of_segments = merge([ChunkTranscript(1.0, 5.0, chunk)], word_timestamps=False).segments
    assert [(s.start, s.end) for s in of_segments] == merged
    assert [(w.start, w.end) for w in merge([ChunkTranscript(1.0, 5.0, timed)], word_timestamps=True).words] == merged


def test_words_lie_in_their_segment() -> None:
    first = TimedSegment(0.5, 2.0, " a b", words=(TimedWord(" a", 0.0, 1.0), TimedWord(" b", 1.0, 3.0)))
    second = TimedSegment(2.0, 4.0, " c", words=(TimedWord(" c", 1.5, 9.0),))
    merged = merge(
        [ChunkTranscript(1.0, 5.0, Transcript("a b c", "en", segments=(first, second)))], word_timestamps=True
    )
    assert [[(word.start, word.end) for word in segment.words or ()] for segment in merged.segments] == [
        [(1.5, 2.0), (2.0, 3.0)],
        [(3.0, 5.0)],
    ]


def test_rounding_moves_no_end_past_the_end_of_the_audio() -> None:
    seconds = 80_007 / 16_000  # 5.0004375: the duration is told as 5.0
    segment = TimedSegment(0.0, 3.0, " a", words=(TimedWord(" a", 0.0, 3.0),))
    chunks = [ChunkTranscript(2.0006, seconds, Transcript("a", "en", segments=(segment,)))]
    merged = merge(chunks, word_timestamps=True)
    assert merged.segments[0].end == merged.words[0].end == round(seconds, 3)


def test_what_is_said_on_several_channels_comes_in_the_order_in_which_it_begins() -> None:
    def said(text: str, start: float, end: float) -> TimedSegment:
        return TimedSegment(start, end, text, words=(TimedWord(text, start, end),))

    question = Transcript(" Who? When?", "en", segments=(said(" Who?", 0.0, 1.0), said(" When?", 4.0, 5.0)))
    answer = Transcript(" Me. Now.", "en", segments=(said(" Me.", 0.5, 1.5), said(" Now.", 4.0, 5.0)))
    merged = merge([ChunkTranscript(0, 6, question, 1), ChunkTranscript(1, 7, answer, 2)], word_timestamps=True)
    assert [(s.id, s.channel, s.start, s.text) for s in merged.segments] == [
        (0, 1, 0.0, " Who?"),
        (1, 2, 1.5, " Me."),
        (2, 1, 4.0, " When?"),
        (3, 2, 5.0, " Now."),
    ]
    assert [(w.channel, w.word) for w in merged.words] == [(s.channel, s.text) for s in merged.segments]
    assert merged.text == "Who? Me. When? Now."
