"""How far two transcripts are apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_worker.shadow import word_error_rate


@pytest.mark.parametrize(
    ("reference", "hypothesis", "rate"),
    [
        ("one two three four", "one two three four", 0.0),
        ("One, two. Three four!", "one two three four", 0.0),
        ("Ещё раз", "еще раз", 0.0),
        ("one two three four", "one too three four", 0.25),
        ("one two three four", "one three four", 0.25),
        ("one two", "one and two", 0.5),
        ("", "", 0.0),
        ("", "you", 1.0),
        ("one", "", 1.0),
    ],
)
def test_the_rate_counts_words(reference: str, hypothesis: str, rate: float) -> None:
    assert word_error_rate(reference, hypothesis) == rate


@given(st.lists(st.sampled_from("abcd"), max_size=8), st.lists(st.sampled_from("abcd"), max_size=8))
def test_it_is_the_least_number_of_edits(left: list[str], right: list[str]) -> None:
    edits = word_error_rate(" ".join(left), " ".join(right)) * max(len(left), 1)
    assert edits <= max(len(left), len(right), 1)
    assert edits >= abs(len(left) - len(right)) or not left
    assert (edits == 0) == (left == right)
