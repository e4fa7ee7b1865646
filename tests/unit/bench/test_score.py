"""Error rates and percentiles."""

from __future__ import annotations

import numpy as np
import pytest

from asrq_worker.bench.score import compare, percentile, total


@pytest.mark.parametrize(
    ("reference", "heard", "words", "errors", "invented", "lost"),
    [
        ("a b c", "a b c", 3, 0, 0, 0),
        ("a b c", "a x c", 3, 1, 0, 0),
        ("a b c", "a c", 3, 1, 0, 1),
        ("a b c", "a b b c d", 3, 2, 2, 0),
        ("a b c", "", 3, 3, 0, 3),
        ("", "", 0, 0, 0, 0),
        ("", "thank you", 0, 2, 2, 0),
    ],
)
def test_words(reference: str, heard: str, words: int, errors: int, invented: int, lost: int) -> None:
    found = compare(reference, heard)
    assert (found.words, found.word_errors, found.invented, found.lost) == (words, errors, invented, lost)


def test_errors_add_up() -> None:
    both = compare("a b", "a") + compare("a b", "a b c")
    assert (both.words, both.word_errors, both.invented, both.lost) == (4, 2, 1, 1)


def test_characters_count_the_spaces_between_words() -> None:
    found = compare("lower case", "lowercase")
    assert (found.characters, found.character_errors) == (10, 1)


def test_rates_of_a_corpus_weigh_clips_by_their_length() -> None:
    whole = total([compare("a", "x"), compare("a b c d e f g h i", "a b c d e f g h i")])
    assert whole.wer == 10.0
    assert total([]).wer is None
    assert compare("", "invented").cer is None


@pytest.mark.parametrize("percent", [0, 50, 95, 99, 100])
def test_percentiles_are_numpys(percent: float) -> None:
    values = [3.0, 0.5, 9.0, 2.0, 7.5]
    assert percentile(values, percent) == pytest.approx(float(np.percentile(values, percent)))


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([1.5], 99) == 1.5
