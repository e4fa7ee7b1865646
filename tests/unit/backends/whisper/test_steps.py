"""Clips that ask a model for one step at a time, served together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from asrq_worker.backends.whisper.steps import Decode, Encode, Request, Search, Steps, together

GREEDY = Search(1)


class Served:
    """Stands where the model stands: answers with a number, and remembers what was asked for together."""

    def __init__(self) -> None:
        self.rounds: list[tuple[str, int]] = []

    def __call__(self, requests: Sequence[Request]) -> Sequence[Any]:
        assert len({type(request) for request in requests}) == 1
        self.rounds.append((type(requests[0]).__name__, len(requests)))
        return range(len(requests))


def encode() -> Encode:
    return Encode(np.zeros((80, 200), np.float32), 200)


def decode() -> Decode:
    return Decode(np.zeros((1, 100, 4), np.float32), (1,), GREEDY, 10)


def clip(times: int, name: str) -> Steps[str]:
    """A clip that is heard so many times."""
    for _ in range(times):
        yield encode()
        yield decode()
    return name


def test_what_clips_ask_for_is_served_together() -> None:
    serve = Served()
    assert together([clip(1, "a"), clip(1, "b"), clip(1, "c")], serve) == ["a", "b", "c"]
    assert serve.rounds == [("Encode", 3), ("Decode", 3)]


def test_those_that_are_behind_catch_up() -> None:
    def late() -> Steps[str]:
        yield encode()
        yield encode()
        yield decode()
        return "late"

    serve = Served()
    assert together([clip(1, "a"), late(), clip(2, "b")], serve) == ["a", "late", "b"]
    assert serve.rounds == [("Encode", 3), ("Encode", 1), ("Decode", 3), ("Encode", 1), ("Decode", 1)]


def test_a_clip_that_asks_for_nothing_is_there() -> None:
    def silent() -> Steps[str]:
        return "nothing"
        yield

    assert together([silent()], Served()) == ["nothing"]
    assert together([], Served()) == []


def test_a_clip_that_fails_harms_no_other() -> None:
    def broken() -> Steps[str]:
        yield encode()
        raise ValueError("no such clip")

    failed, good = together([broken(), clip(1, "good")], Served())
    assert isinstance(failed, ValueError)
    assert good == "good"


@pytest.mark.parametrize("caught", [True, False])
def test_an_answer_that_is_an_error_is_raised_where_it_was_asked_for(caught: bool) -> None:
    def asks() -> Steps[str]:
        try:
            yield encode()
        except MemoryError:
            if caught:
                return "caught"
            raise
        return "nothing happened"

    [found] = together([asks()], lambda requests: [MemoryError()])
    assert found == "caught" if caught else isinstance(found, MemoryError)
