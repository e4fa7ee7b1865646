"""What is done when memory runs out, and how soon as much is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_worker.engine.out_of_memory import GROW_EVERY_S, SHORTEST_S, Allowance, Step, can_be_split, next_step


@pytest.mark.parametrize(
    ("batch", "alone", "seconds", "restarted", "step"),
    [
        (8, True, 28.0, False, Step.HALVE),
        (2, False, 3.0, True, Step.HALVE),
        (1, False, 28.0, False, Step.HALVE),
        (1, True, 28.0, False, Step.SPLIT),
        (1, True, 28.0, True, Step.SPLIT),
        (1, True, 2 * SHORTEST_S, False, Step.SPLIT),
        (1, True, 2 * SHORTEST_S - 0.1, False, Step.RESTART),
        (1, True, 0.1, True, Step.GIVE_UP),
    ],
)
def test_the_steps(batch: int, alone: bool, seconds: float, restarted: bool, step: Step) -> None:
    assert next_step(batch=batch, alone=alone, seconds=seconds, restarted=restarted) is step


@given(st.integers(1, 64), st.booleans(), st.floats(0.1, 30))
def test_it_comes_to_an_end(batch: int, alone: bool, seconds: float) -> None:
    restarted = False
    for _ in range(20):
        match next_step(batch=batch, alone=alone, seconds=seconds, restarted=restarted):
            case Step.HALVE:
                batch, alone = max(batch // 2, 1), batch == 1
            case Step.SPLIT:
                assert can_be_split(seconds)
                seconds, restarted = seconds * 2 / 3, False
            case Step.RESTART:
                restarted = True
            case Step.GIVE_UP:
                return
    raise AssertionError("the steps have no end")


def test_what_did_not_fit_is_halved_and_grows_back_one_by_one() -> None:
    now = 100.0
    allowance = Allowance(lambda: now)
    assert allowance.of(8) == 8
    allowance.halve(8)
    allowance.halve(8)  # another of the same wave says nothing new
    assert allowance.of(8) == 4
    now += GROW_EVERY_S
    assert allowance.of(8) == 5
    allowance.halve(5)
    assert allowance.of(8) == 2
    now += GROW_EVERY_S * 6
    assert allowance.of(8) == 8
    allowance.halve(1)
    assert allowance.of(8) == 1
    allowance.halve(8)  # one that had begun before does not raise it
    assert allowance.of(8) == 1
    assert allowance.of(1) == 1
