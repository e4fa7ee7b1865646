"""Which engines a host holds, and which of them go when memory is short or nobody wants them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from asrq_jobs.errors import EngineCrashedError
from asrq_worker.engine.life import Failures, State
from asrq_worker.fleet import Fleet


class FakeEngine:
    """As much of an engine as a fleet sees."""

    def __init__(self, name: str, memory_mb: int) -> None:
        self.name = name
        self.memory = memory_mb
        self.listeners: list[Any] = []
        self.state, self.loaded, self.error, self.final, self.restarts = State.READY, None, None, False, 0
        self.failures = Failures()
        self.closed = False

    def start(self) -> None:
        self.started = True

    def close(self) -> None:
        self.closed = True

    def memory_mb(self) -> int:
        return self.memory

    def down_s(self) -> float:
        return 0.0


@pytest.fixture
def engines() -> dict[str, FakeEngine]:
    return {name: FakeEngine(name, 400) for name in ("whisper", "qwen", "server")}


@pytest.fixture
def fleet(engines: dict[str, FakeEngine]) -> Iterator[Fleet]:
    made = Fleet(lambda name: engines[name], budget_mb=1000)  # type: ignore[arg-type,return-value]
    yield made
    made.close()


def test_an_engine_starts_when_it_is_first_wanted(fleet: Fleet, engines: dict[str, FakeEngine]) -> None:
    assert fleet.find("qwen") is None
    assert fleet.enlist("qwen") is fleet.enlist("qwen")
    assert engines["qwen"].started
    assert set(fleet.states()) == {"qwen"}


def test_the_longest_idle_engine_makes_room(fleet: Fleet, engines: dict[str, FakeEngine]) -> None:
    fleet.enlist("whisper")
    fleet.enlist("qwen")
    engines["qwen"].memory = 700
    fleet.enlist("server")
    assert engines["whisper"].closed
    assert set(fleet.states()) == {"qwen", "server"}


def test_room_is_made_before_the_next_one_loads(fleet: Fleet, engines: dict[str, FakeEngine]) -> None:
    fleet.enlist("whisper")
    engines["whisper"].memory = 1001
    engines["qwen"].start = lambda: setattr(engines["qwen"], "alone", engines["whisper"].closed)  # type: ignore[method-assign]  # the moment that counts
    fleet.enlist("qwen")
    assert engines["qwen"].alone  # type: ignore[attr-defined]  # set above


def test_what_turns_out_too_much_is_ended_but_for_what_was_used_last(
    fleet: Fleet, engines: dict[str, FakeEngine]
) -> None:
    fleet.enlist("whisper")
    with fleet.enlist("qwen").at_work():
        pass
    engines["qwen"].memory = 5000
    fleet.retire(["whisper", "qwen"], idle_s=900)
    assert (engines["whisper"].closed, engines["qwen"].closed) == (True, False)
    assert set(fleet.states()) == {"qwen"}


def test_an_engine_at_work_stays_whatever_memory_it_takes(fleet: Fleet, engines: dict[str, FakeEngine]) -> None:
    with fleet.enlist("whisper").at_work():
        engines["whisper"].memory = 5000
        fleet.enlist("qwen")
        assert not engines["whisper"].closed
        assert not fleet.unload("whisper")
        fleet.retire([], idle_s=0)
        assert set(fleet.states()) == {"whisper"}
    assert fleet.unload("whisper")
    assert engines["whisper"].closed


def test_what_serves_is_kept_and_what_only_stood_in_goes(fleet: Fleet, engines: dict[str, FakeEngine]) -> None:
    fleet.enlist("whisper")
    fleet.enlist("qwen")
    fleet.retire(["whisper"], idle_s=0)
    assert set(fleet.states()) == {"whisper"}


def test_an_engine_that_was_given_up_is_not_used_and_is_tried_anew_later(
    fleet: Fleet, engines: dict[str, FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    berth = fleet.enlist("qwen")
    engines["qwen"].final = engines["qwen"].failures.final = True
    assert not fleet.usable("qwen")
    fleet.retire(["qwen"], idle_s=900)
    assert fleet.find("qwen") is berth
    berth.used_at -= 61
    fleet.retire(["qwen"], idle_s=900)
    assert fleet.find("qwen") is None
    assert fleet.usable("qwen")


def test_an_engine_that_does_not_load_again_is_not_used_until_it_does(
    fleet: Fleet, engines: dict[str, FakeEngine]
) -> None:
    fleet.enlist("qwen")
    failures = engines["qwen"].failures
    for usable in (True, True, False, False):
        failures.note(EngineCrashedError("It died."), has_loaded=True)
        assert fleet.usable("qwen") == usable
    failures.loaded()
    assert fleet.usable("qwen")


def test_memory_for_one_more_process_is_what_the_budget_leaves(fleet: Fleet) -> None:
    fleet.enlist("whisper")
    assert fleet.room_mb() == 600
    assert Fleet(lambda name: FakeEngine(name, 400)).room_mb() > 0  # type: ignore[arg-type,return-value]  # a fake


def test_a_backend_that_fails_in_a_row_is_left_alone(fleet: Fleet) -> None:
    berth = fleet.enlist("qwen")
    for _ in range(5):
        assert fleet.usable("qwen")
        berth.breaker.failed()
    assert not fleet.usable("qwen")
