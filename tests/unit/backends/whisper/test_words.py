"""Words with times from those of their tokens."""

from __future__ import annotations

import pytest

from asrq_worker.backends.base import TimedWord
from asrq_worker.backends.whisper.words import Written, longest_s, placed, within


def test_words_have_the_times_and_the_mean_probability_of_their_tokens() -> None:
    words = [Written(" re", 1), Written(" peated", 2)]
    assert placed(words, [0.0, 0.2, 0.5, 0.9], [0.5, 0.2, 0.4]) == [
        TimedWord(" re", 0.0, 0.2, 0.5),
        TimedWord(" peated", 0.2, 0.9, pytest.approx(0.3)),
    ]


def test_punctuation_belongs_to_its_word() -> None:
    words = [Written(' "', 1), Written("Yes", 1), Written(",", 1), Written(" I", 1), Written("'m", 1), Written("!", 1)]
    said = placed(words, [0.0, 0.1, 0.4, 0.5, 0.6, 0.7, 0.8], [0.9] * 6)
    assert [word.word for word in said] == [' "Yes,', " I", "'m!"]
    assert (said[0].start, said[0].end) == (0.1, 0.4), "marks take no time"


def test_a_word_is_at_most_twice_as_long_as_most_of_them() -> None:
    words = [TimedWord(" a", 0, 0.2), TimedWord(" b", 0.2, 0.4), TimedWord(" c", 0.4, 3.0)]
    assert longest_s(words) == pytest.approx(0.4)
    assert longest_s([TimedWord(" a", 0, 9)]) == pytest.approx(1.4), "nobody says one word for longer"
    assert longest_s([TimedWord(" a", 1, 1)]) == 0.0


def test_pauses_are_no_part_of_the_words_around_them() -> None:
    words = [TimedWord(" So", 0.0, 2.0), TimedWord(" be", 2.0, 2.2), TimedWord(" it.", 2.2, 5.0)]
    first, middle, last = within(words, 0.0, 5.0, longest=0.5)
    assert (first.start, first.end) == (1.5, 2.0)
    assert middle == words[1]
    assert (last.start, last.end) == (2.2, pytest.approx(2.7))


def test_a_pause_between_sentences_is_cut_a_long_word_within_one_is_not() -> None:
    words = [TimedWord(" a", 0, 0.2), TimedWord(" b.", 0.2, 0.4), TimedWord(" c", 0.4, 3.0), TimedWord(" d", 3.0, 6.0),
             TimedWord(" e", 6.0, 6.2)]  # fmt: skip
    assert [(word.start, word.end) for word in within(words, 0.0, 6.2, longest=0.5)] == [
        (0, 0.2), (0.2, 0.4), (2.5, 3.0), (3.0, 6.0), (6.0, 6.2)]  # fmt: skip


def test_words_far_outside_their_segment_are_brought_back() -> None:
    [word] = within([TimedWord(" a", 0.0, 2.5)], 1.0, 1.9, longest=9)
    assert (word.start, word.end) == (1.0, 1.9)
    near = [TimedWord(" a", 0.7, 2.3)]
    assert within(near, 1.0, 1.9, longest=9) == near
    assert within([], 0.0, 1.0, longest=0.0) == []
