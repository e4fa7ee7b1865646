"""Which engines a host holds, and which of them go when memory is short or nobody wants them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from asrq_worker.engine.life import State
from asrq_worker.fleet import Fleet


class FakeEngine:
    """As much of an engine as a fleet sees."""

    def __init__(self, name: str, memory_mb: int) -> None:
        self.name = name
        self.memory = memory_mb
        self.listeners: list[Any] = []
        self.state, self.loaded, self.error, self.final, self.restarts = State.READY, None, None, False, 0
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
    engines["qwen"].final = True
    assert not fleet.usable("qwen")
    fleet.retire(["qwen"], idle_s=900)
    assert fleet.find("qwen") is berth
    berth.used_at -= 61
    fleet.retire(["qwen"], idle_s=900)
    assert fleet.find("qwen") is None
    assert fleet.usable("qwen")


def test_a_backend_that_fails_in_a_row_is_left_alone(fleet: Fleet) -> None:
    berth = fleet.enlist("qwen")
    for _ in range(5):
        assert fleet.usable("qwen")
        berth.breaker.failed()
    assert not fleet.usable("qwen")
