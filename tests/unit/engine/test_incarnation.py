"""One process of an engine as its holder sees it: deadlines, kills and ends, with a child that the test plays."""

from __future__ import annotations

import threading
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
from asrq_worker.engine import incarnation, messages
from asrq_worker.engine.incarnation import BatchDone, Incarnation, Limits
from asrq_worker.engine.messages import ChunkRef, Loaded

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


class Process:
    """An incarnation, its child, and what its holder heard."""

    def __init__(self, *, download: bool = False) -> None:
        self.loaded: list[Incarnation] = []
        self.ends: list[AsrqError] = []
        self.incarnation = Incarnation(
            "fake",
            BackendConfig("fake", Path(), download=download),
            Limits(start_s=100.0, stall_s=10.0, slowness=2.0),
            lock=threading.Condition(),
            on_loaded=self.loaded.append,
            on_done=lambda: None,
            on_end=lambda _process, error: self.ends.append(error),
        )
        self.child: SilentChild = self.incarnation._child  # type: ignore[assignment]  # the fixture put it there

    def load(self) -> None:
        identity = Identity("fake", "1", "fake", None, "cpu", "none")
        self.child.say(messages.loaded(Loaded(identity, Capabilities(frozenset({"en"})), 1.0, 1.0)))

    def begin(self, ref: ChunkRef, *, beside_load: bool = False) -> Future[BatchDone]:
        return self.incarnation.begin([ref], beside_load=beside_load)[1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(incarnation, "time", clock)
    return clock


@pytest.fixture
def ref() -> Ref:
    """Make a reference to so many seconds of a file that nobody reads."""
    return lambda seconds=1: ChunkRef(Path("a.f32"), 0, seconds * SAMPLE_RATE, ChunkOptions("en"))


@pytest.fixture
def process(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Process:
    monkeypatch.setattr(incarnation, "Child", SilentChild)
    return Process()


@pytest.mark.parametrize("download", [False, True])
def test_libraries_look_for_models_elsewhere_only_where_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, download: bool
) -> None:
    monkeypatch.setattr(incarnation, "Child", SilentChild)
    assert ("HF_HUB_OFFLINE" in Process(download=download).child.env) is not download


def test_batches_in_flight_lengthen_each_other(process: Process, clock: Clock, ref: Ref) -> None:
    process.load()
    process.begin(ref(seconds=3))
    assert process.incarnation.deadline() == clock.now + 10 + 2 * 3
    clock.now += 1
    process.begin(ref(seconds=20))
    assert process.incarnation.deadline() == clock.now - 1 + 10 + 2 * 23, "the first one has half of the cores now"


def test_a_deadline_follows_the_speed_that_was_measured(process: Process, clock: Clock, ref: Ref) -> None:
    process.load()
    for number, speed in enumerate([0.1] * (incarnation.MEASURED_BATCHES - 2) + [0.15, 0.05], start=1):
        future = process.begin(ref(seconds=4))
        assert process.incarnation.deadline() == clock.now + 10 + 2 * 4
        process.child.say(messages.done(number, [Transcript("", None)], 1, 4 * speed))
        assert future.result(0).inference_s == 4 * speed
    process.begin(ref(seconds=4))
    assert process.incarnation.deadline() == pytest.approx(clock.now + 10 + 10 * 0.15 * 4)


def test_a_load_beside_it_gives_a_batch_the_time_of_a_load_more(process: Process, clock: Clock, ref: Ref) -> None:
    clock.now += 30
    process.load()
    process.begin(ref(seconds=1))
    process.incarnation.share_with_load()
    assert process.incarnation.deadline() == clock.now + 10 + 2 + 30
    clock.now += 5
    process.begin(ref(seconds=1), beside_load=True)
    assert process.incarnation.deadline() == clock.now - 5 + 10 + 4 + 30


def test_a_holder_that_comes_much_too_late_blames_itself(process: Process, clock: Clock, ref: Ref) -> None:
    """The host was suspended: what was overdue meanwhile gets its time anew, and then no more."""
    clock.now += 100 + incarnation.OVERSLEPT_S + 0.1
    assert not process.incarnation.enforce(clock.now)
    assert process.incarnation.deadline() == clock.now + 100
    process.load()
    process.begin(ref(seconds=1))
    clock.now += 12 + incarnation.OVERSLEPT_S + 0.1
    assert not process.incarnation.enforce(clock.now)
    assert process.incarnation.deadline() == clock.now + 10
    clock.now += 10
    assert process.incarnation.enforce(clock.now)
    process.child.die(-9)
    assert isinstance(process.ends[0], EngineTimeoutError)


def test_a_transcript_that_does_not_fit_fails_its_chunk_alone(process: Process, ref: Ref) -> None:
    process.load()
    number, future = process.incarnation.begin([ref(), ref()], beside_load=False)
    done = messages.done(number, [Transcript("", None), Transcript("", None)], 2, 1.0)
    done["items"][0]["transcript"]["text"] = 7
    process.child.say(done)
    malformed, fine = future.result(0).items
    assert isinstance(malformed, MalformedOutputError)
    assert "text" in malformed.message
    assert fine == Transcript("", None)


def test_a_message_of_another_kind_is_passed_over(process: Process, ref: Ref) -> None:
    process.load()
    future = process.begin(ref())
    process.child.say({"op": "of a later version"})
    assert not future.done()
    assert not process.child.killed


def test_a_load_that_ends_when_its_time_is_over_serves_nobody(process: Process, clock: Clock) -> None:
    clock.now += 100
    assert process.incarnation.enforce(clock.now)
    process.load()
    assert process.loaded == []
    process.child.die(-9)
    assert isinstance(process.ends[0], EngineTimeoutError)


def test_one_that_cannot_load_is_not_waited_for(process: Process) -> None:
    process.child.say(messages.failed(ModelMissingError("Model 'x' is not on this machine.")))
    assert process.child.killed
    process.child.die(-9)
    assert isinstance(process.ends[0], ModelMissingError)


def test_what_not_even_a_kill_ends_counts_as_stuck(process: Process, clock: Clock, ref: Ref) -> None:
    """A driver that hangs holds its process until it returns; jobs must not wait for it with a living lease."""
    process.load()
    process.begin(ref(seconds=1))
    clock.now += 12
    assert process.incarnation.enforce(clock.now)
    assert not process.incarnation.stuck(clock.now)
    clock.now += incarnation.STUCK_S + 0.1
    assert process.incarnation.stuck(clock.now)


def test_an_end_is_reported_when_those_who_wait_know_it(
    process: Process, ref: Ref, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.load()
    future = process.begin(ref())
    reported: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        incarnation.reports, "capture", lambda error, backend: reported.append((error.code, future.done()))
    )
    process.child.die(-6)
    assert reported == [("engine_crashed", True)]
    assert isinstance(future.exception(), EngineCrashedError)
