"""What is called stable: believed after two hearings, and never taken back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asrq_worker.job.agreement import Agreement


def after(*hearings: str) -> tuple[str, str]:
    agreement = Agreement()
    for heard in hearings:
        agreement.take(heard)
    return agreement.text[: agreement.stable], agreement.text[agreement.stable :]


def test_one_hearing_is_not_believed() -> None:
    assert after("The ship") == ("", "The ship")


def test_two_that_agree_are_but_for_the_last_word() -> None:
    assert after("The ship", "The ship") == ("The", " ship")
    assert after("The ship", "The ship sails") == ("The ship", " sails")
    assert after("The ship.", "The ship sails.") == ("The", " ship sails.")


def test_what_a_later_hearing_makes_of_it_changes_only_the_rest() -> None:
    assert after("The ship sails", "The ship sails at", "A chip sails at noon") == ("The ship sails at", " noon")
    assert after("The ship sails", "The ship sails at", "A chip") == ("The ship sails", "")
    assert after("The ship sails", "The ship sails at", "") == ("The ship sails", "")


def test_scripts_without_spaces_agree_by_character() -> None:
    assert after("今日は", "今日は雨だ") == ("今日は", "雨だ")
    assert after("今日は", "今日は雨だ", "昨日は雨です") == ("今日は雨", "です")


WORDS = st.lists(st.sampled_from(["a", "be", "See.", "今日", "é", "\n", "x\ty"]), max_size=8).map(" ".join)


@given(st.lists(WORDS, max_size=8))
def test_nothing_stable_is_taken_back(hearings: list[str]) -> None:
    agreement = Agreement()
    for heard in hearings:
        stable = agreement.text[: agreement.stable]
        agreement.take(heard)
        assert agreement.stable >= len(stable)
        assert agreement.text.startswith(stable)
        assert agreement.stable <= len(agreement.text)
        assert agreement.text == " ".join(agreement.text.split())
