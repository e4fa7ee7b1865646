"""Which caller gets the next decoder."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asrq_worker.audio.line import MOST_IN_A_ROW, WaitingLine


def _serve(line: WaitingLine) -> bool | None:
    """Give the next decoder away; whether it went to an urgent caller, None if to nobody."""
    first = line.first()
    if first is None:
        return None
    line.take(first)
    return first.urgent


def test_urgent_callers_go_first_each_in_the_order_of_arrival() -> None:
    line = WaitingLine(4)
    callers = [line.join(urgent=urgent) for urgent in (False, True, False, True)]
    order = []
    while (first := line.first()) is not None:
        line.take(first)
        order.append(first)
    assert order == [callers[1], callers[3], callers[0], callers[2]]


def test_patient_ones_leave_one_free_where_there_are_several() -> None:
    line = WaitingLine(2)
    for _ in range(3):
        line.join(urgent=False)
    assert (_serve(line), _serve(line)) == (False, None)
    line.join(urgent=True)
    assert _serve(line) is True
    alone = WaitingLine(1)
    alone.join(urgent=False)
    assert _serve(alone) is False


def test_clips_that_never_cease_leave_one_place_in_five() -> None:
    line = WaitingLine(1)
    for _ in range(20):
        line.join(urgent=True)
    for _ in range(3):
        line.join(urgent=False)
    given_to: list[bool] = []
    for _ in range(15):
        first = line.first()
        assert first is not None
        line.take(first)
        given_to.append(first.urgent)
        line.give_back(first)
    assert given_to == [True, True, True, True, False] * 3
    assert MOST_IN_A_ROW == 4


def test_nothing_is_owed_to_who_came_late_or_has_a_decoder() -> None:
    line = WaitingLine(2)
    for _ in range(10):
        line.join(urgent=True)
    for _ in range(6):
        first = line.first()
        assert first is not None
        line.take(first)
        line.give_back(first)
    line.join(urgent=False)
    for _ in range(4):
        first = line.first()
        assert first is not None
        assert first.urgent
        line.take(first)
        line.give_back(first)
    assert _serve(line) is False  # now that four have gone before it
    line.join(urgent=False)
    line.join(urgent=True)
    assert _serve(line) is True  # its like has one already


def test_one_that_goes_away_keeps_nobody() -> None:
    line = WaitingLine(1)
    gone, here = line.join(urgent=True), line.join(urgent=False)
    line.leave(gone)
    assert line.first() == here


@given(st.integers(1, 4), st.lists(st.sampled_from(["urgent", "patient", "serve", "end", "leave"]), max_size=200))
def test_nobody_waits_while_there_is_a_decoder_for_it(decoders: int, steps: list[str]) -> None:
    line, waiting, busy = WaitingLine(decoders), [], []
    in_a_row = 0
    for step in steps:
        match step:
            case "urgent" | "patient":
                waiting.append(line.join(urgent=step == "urgent"))
            case "leave" if waiting:
                line.leave(waiting.pop(0))
            case "end" if busy:
                line.give_back(busy.pop(0))
            case "serve":
                first = line.first()
                patient = sum(not caller.urgent for caller in busy)
                may = [caller for caller in waiting if caller.urgent or patient < max(1, decoders - 1)]
                may = may if len(busy) < decoders else []
                assert line.taken == len(busy)
                assert (first is None) == (not may)
                if first is None:
                    continue
                assert first in may
                in_a_row = in_a_row + 1 if first.urgent and any(not caller.urgent for caller in may) else 0
                assert in_a_row <= MOST_IN_A_ROW
                line.take(first)
                waiting.remove(first)
                busy.append(first)
