"""One process of an engine as its holder sees it: deadlines, kills and ends, with a child that the test plays."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from asrq_jobs.errors import AsrqError, EngineCrashedError, EngineTimeoutError, MalformedOutputError, ModelMissingError
from asrq_worker.backends.base import (
    SAMPLE_RATE,
    BackendConfig,
    Capabilities,
    ChunkOptions,
    Identity,
    Transcript,
)
from asrq_worker.engine import messages
from asrq_worker.engine import process as engine_process
from asrq_worker.engine.messages import ChunkRef, Loaded
from asrq_worker.engine.process import MEASURED_BATCHES, BatchDone, EngineProcess, TimeLimits
from asrq_worker.process import heap, supervisor
from asrq_worker.process.supervisor import Supervisor

Ref = Callable[..., ChunkRef]


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class SilentChild:
    """Says only what the test makes it say, and dies only when that says so."""

    pid = 2**22 + 1  # no process has it

    def __init__(self, module: str, **given: Any) -> None:
        self.say, self.die, self.env = given["on_message"], given["on_exit"], given["env"]
        self.killed = False

    def send(self, message: dict[str, Any]) -> bool:
        return True

    def kill(self) -> None:
        self.killed = True


class Holder(Supervisor[EngineProcess]):
    """Keeps no process by itself, and notes what it hears."""

    def __init__(self) -> None:
        super().__init__("holder")
        self.loaded: list[EngineProcess] = []
        self.ends: list[AsrqError] = []

    def launch(self) -> EngineProcess:
        raise AssertionError("the test starts the process")

    def on_ready(self, process: EngineProcess) -> None:
        self.loaded.append(process)

    def on_end(self, process: EngineProcess, reason: AsrqError) -> None:
        self.ends.append(reason)


class Played:
    """A process, its child, and what its holder heard."""

    def __init__(self, *, download: bool = False) -> None:
        holder = Holder()
        self.loaded, self.ends = holder.loaded, holder.ends
        self.process = EngineProcess(
            holder,
            "fake",
            BackendConfig("fake", Path(), download=download),
            TimeLimits(start_s=100.0, stall_s=10.0, slowness=2.0),
        )
        self.child: SilentChild = self.process._child  # type: ignore[assignment]  # the fixture put it there

    def load(self) -> None:
        identity = Identity("fake", "1", "fake", None, "cpu", "none")
        self.child.say(messages.loaded(Loaded(identity, Capabilities(frozenset({"en"})), 1.0, 1.0)))

    def begin(self, ref: ChunkRef, *, beside_load: bool = False) -> Future[BatchDone]:
        return self.process.begin([ref], beside_load=beside_load)[1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(supervisor, "time", clock)
    monkeypatch.setattr(engine_process, "time", clock)
    return clock


@pytest.fixture
def ref() -> Ref:
    """Make a reference to so many seconds of a file that nobody reads."""
    return lambda seconds=1: ChunkRef(Path("a.f32"), 0, seconds * SAMPLE_RATE, ChunkOptions("en"))


@pytest.fixture
def played(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Played:
    monkeypatch.setattr(supervisor, "Child", SilentChild)
    return Played()


@pytest.mark.parametrize("download", [False, True])
def test_libraries_look_for_models_elsewhere_only_where_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, download: bool
) -> None:
    monkeypatch.setattr(supervisor, "Child", SilentChild)
    assert ("HF_HUB_OFFLINE" in Played(download=download).child.env) is not download


def test_an_engine_keeps_the_memory_that_it_frees_unless_the_environment_says_how_to_manage_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in heap.KEPT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(supervisor, "Child", SilentChild)
    assert Played().child.env.items() >= heap.KEPT.items()
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert Played().child.env.items() >= (heap.KEPT | {"MALLOC_ARENA_MAX": "4"}).items()


def test_batches_in_flight_lengthen_each_other(played: Played, clock: Clock, ref: Ref) -> None:
    played.load()
    played.begin(ref(seconds=3))
    assert played.process.deadline() == clock.now + 10 + 2 * 3
    clock.now += 1
    played.begin(ref(seconds=20))
    assert played.process.deadline() == clock.now - 1 + 10 + 2 * 23, "the first one has half of the cores now"


def test_a_deadline_follows_the_speed_that_was_measured(played: Played, clock: Clock, ref: Ref) -> None:
    played.load()
    for number, speed in enumerate([0.1] * (MEASURED_BATCHES - 2) + [0.15, 0.05], start=1):
        future = played.begin(ref(seconds=4))
        assert played.process.deadline() == clock.now + 10 + 2 * 4
        played.child.say(messages.done(number, [Transcript("", None)], 1, 4 * speed))
        assert future.result(0).inference_s == 4 * speed
    played.begin(ref(seconds=4))
    assert played.process.deadline() == pytest.approx(clock.now + 10 + 10 * 0.15 * 4)


def test_a_load_beside_it_gives_a_batch_the_time_of_a_load_more(played: Played, clock: Clock, ref: Ref) -> None:
    clock.now += 30
    played.load()
    played.begin(ref(seconds=1))
    played.process.share_with_load()
    assert played.process.deadline() == clock.now + 10 + 2 + 30
    clock.now += 5
    played.begin(ref(seconds=1), beside_load=True)
    assert played.process.deadline() == clock.now - 5 + 10 + 4 + 30


def test_a_holder_that_comes_much_too_late_blames_itself(played: Played, clock: Clock, ref: Ref) -> None:
    """The host was suspended: what was overdue meanwhile gets its time anew, and then no more."""
    clock.now += 100 + supervisor.OVERSLEPT_S + 0.1
    played.process.enforce(clock.now)
    assert not played.child.killed
    assert played.process.deadline() == clock.now + 100
    played.load()
    played.begin(ref(seconds=1))
    clock.now += 12 + supervisor.OVERSLEPT_S + 0.1
    played.process.enforce(clock.now)
    assert not played.child.killed
    assert played.process.deadline() == clock.now + 10
    clock.now += 10
    played.process.enforce(clock.now)
    assert played.child.killed
    played.child.die(-9)
    assert isinstance(played.ends[0], EngineTimeoutError)


def test_a_transcript_that_does_not_fit_fails_its_chunk_alone(played: Played, ref: Ref) -> None:
    played.load()
    number, future = played.process.begin([ref(), ref()], beside_load=False)
    done = messages.done(number, [Transcript("", None), Transcript("", None)], 2, 1.0)
    done["items"][0]["transcript"]["text"] = 7
    played.child.say(done)
    malformed, fine = future.result(0).items
    assert isinstance(malformed, MalformedOutputError)
    assert "text" in malformed.message
    assert fine == Transcript("", None)


def test_a_message_of_another_kind_is_passed_over(played: Played, ref: Ref) -> None:
    played.load()
    future = played.begin(ref())
    played.child.say({"op": "of a later version"})
    assert not future.done()
    assert not played.child.killed


def test_a_load_that_ends_when_its_time_is_over_serves_nobody(played: Played, clock: Clock) -> None:
    clock.now += 100
    played.process.enforce(clock.now)
    assert played.child.killed
    played.load()
    assert played.loaded == []
    played.child.die(-9)
    assert isinstance(played.ends[0], EngineTimeoutError)


def test_one_that_cannot_load_is_not_waited_for(played: Played) -> None:
    played.child.say(messages.failed(ModelMissingError("Model 'x' is not on this machine.")))
    assert played.child.killed
    played.child.die(-9)
    assert isinstance(played.ends[0], ModelMissingError)


def test_what_not_even_a_kill_ends_counts_as_stuck(played: Played, clock: Clock, ref: Ref) -> None:
    """A driver that hangs holds its process until it returns; jobs must not wait for it with a living lease."""
    played.load()
    played.begin(ref(seconds=1))
    clock.now += 12
    played.process.enforce(clock.now)
    assert played.child.killed
    assert not played.process.stuck(clock.now)
    clock.now += supervisor.STUCK_S + 0.1
    assert played.process.stuck(clock.now)


def test_an_end_is_reported_when_those_who_wait_know_it(
    played: Played, ref: Ref, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.load()
    future = played.begin(ref())
    reported: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        engine_process.reports, "capture", lambda error, backend: reported.append((error.code, future.done()))
    )
    played.child.die(-6)
    assert reported == [("engine_crashed", True)]
    assert isinstance(future.exception(), EngineCrashedError)
