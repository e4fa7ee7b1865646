"""Which engines a host holds, and which of them go when memory is short or nobody wants them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from asrq_jobs.errors import EngineCrashedError, ShutdownError
from asrq_jobs.policy import Policy, Share
from asrq_worker.engine import fleet as fleet_module
from asrq_worker.engine.fleet import Fleet, Member
from asrq_worker.engine.state import EngineState, Failures


class FakeEngine:
    """As much of an engine as a fleet sees."""

    def __init__(self, name: str, memory_mb: int) -> None:
        self.name = name
        self.memory = memory_mb
        self.listeners: list[Any] = []
        self.state, self.loaded, self.error, self.final, self.restarts = EngineState.READY, None, None, False, 0
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
    with fleet.at_work("qwen"):
        pass
    engines["qwen"].memory = 5000
    fleet.retire(["whisper", "qwen"], idle_s=900)
    assert (engines["whisper"].closed, engines["qwen"].closed) == (True, False)
    assert set(fleet.states()) == {"qwen"}


def test_an_engine_at_work_stays_whatever_memory_it_takes(fleet: Fleet, engines: dict[str, FakeEngine]) -> None:
    with fleet.at_work("whisper"):
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
    member = fleet.enlist("qwen")
    engines["qwen"].final = engines["qwen"].failures.final = True
    assert not fleet.usable("qwen")
    fleet.retire(["qwen"], idle_s=900)
    assert fleet.find("qwen") is member
    member.used_at -= 61
    with fleet.at_work("qwen"):  # jobs go on to find it given up, and do not keep it so
        pass
    fleet.retire(["qwen"], idle_s=900)
    assert fleet.find("qwen") is None
    assert fleet.usable("qwen")


def test_an_engine_that_does_not_load_again_is_not_used_until_it_does(
    fleet: Fleet, engines: dict[str, FakeEngine]
) -> None:
    fleet.enlist("qwen")
    failures = engines["qwen"].failures
    for in_a_row, usable in enumerate((True, True, False, False), start=1):
        failures.note(EngineCrashedError("It died."), in_a_row, has_loaded=True)
        assert fleet.usable("qwen") == usable
    failures.loaded()
    assert fleet.usable("qwen")


def test_memory_for_one_more_process_is_what_the_budget_and_the_container_leave(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "free_memory_mb", lambda: 5000.0)
    fleet.enlist("whisper")
    assert fleet.room_mb() == 600
    monkeypatch.setattr(fleet_module, "free_memory_mb", lambda: 500.0)
    assert fleet.room_mb() == 500


def test_an_engine_that_loads_counts_as_what_it_took_last_time(fleet: Fleet, engines: dict[str, FakeEngine]) -> None:
    fleet.enlist("qwen")
    engines["qwen"].memory = 800
    fleet.retire(["qwen"], idle_s=900)
    assert fleet.unload("qwen")
    with fleet.at_work("qwen"):
        engines["qwen"].state, engines["qwen"].memory = EngineState.LOADING, 50
        fleet.enlist("whisper")
        fleet.enlist("server")
        assert set(fleet.states()) == {"qwen", "server"}, "800 and 400 do not fit, so none was kept for later"


def test_an_engine_that_goes_before_its_job_comes_is_started_anew(
    fleet: Fleet, engines: dict[str, FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another job's engine takes its room at the moment between being found and being used."""
    enlist, going = fleet.enlist, ["qwen"]

    def enlist_and_lose(name: str) -> Member:
        member = enlist(name)
        if going:
            assert fleet.unload(going.pop())
            engines["qwen"] = FakeEngine("qwen", 400)
        return member

    monkeypatch.setattr(fleet, "enlist", enlist_and_lose)
    with fleet.at_work("qwen") as member:
        assert fleet.find("qwen") is member
        assert not fleet.unload("qwen")
    assert not engines["qwen"].closed


def test_a_fleet_offers_what_the_policy_names(fleet: Fleet, engines: dict[str, FakeEngine]) -> None:
    policy = Policy(backend="qwen", fallback="whisper", canary=Share(backend="server", share=0.1))
    offers = fleet.offers(policy)
    assert [(offer.backend, offer.model, offer.on_request) for offer in offers] == [
        ("qwen", "qwen", False), ("whisper", "whisper", False), ("server", "server", True)
    ]  # fmt: skip
    canary_of_its_fallback = Policy(backend="qwen", fallback="whisper", canary=Share(backend="whisper", share=0.1))
    assert [offer.on_request for offer in fleet.offers(canary_of_its_fallback)] == [False, False]
    assert fleet.members() == [], "nothing was loaded for that"


def test_a_closed_fleet_starts_nothing(fleet: Fleet, engines: dict[str, FakeEngine]) -> None:
    fleet.close()
    fleet.try_anew("qwen")
    with pytest.raises(ShutdownError):
        fleet.enlist("qwen")


def test_only_an_engine_that_serves_now_is_ready(fleet: Fleet, engines: dict[str, FakeEngine]) -> None:
    assert not fleet.ready("qwen")
    fleet.enlist("qwen")
    assert fleet.ready("qwen")
    engines["qwen"].state = EngineState.FAILED
    assert not fleet.ready("qwen")


def test_a_backend_that_fails_in_a_row_is_left_alone(fleet: Fleet) -> None:
    member = fleet.enlist("qwen")
    for _ in range(5):
        assert fleet.usable("qwen")
        member.breaker.failed()
    assert not fleet.usable("qwen")
