"""Threads that a process cannot do without: what is told of their ends, and how long those are waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from asrq_jobs.errors import AsrqError
from asrq_worker import supervision
from asrq_worker.supervision import Supervised, wind_down, within


@pytest.fixture
def told() -> Iterator[list[AsrqError]]:
    """What whoever ends the process is told."""
    failures: list[AsrqError] = []
    supervision.on_failure(failures.append)
    yield failures
    supervision.on_failure(None)


def _raise(error: BaseException) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


@pytest.mark.parametrize("run", [_raise(KeyError("lost")), _raise(SystemExit(0)), lambda: None])
def test_one_that_ends_although_it_must_not_is_told_and_missing(
    told: list[AsrqError], run: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    thread = Supervised("scheduler", run)
    assert not thread.missing
    thread.start()
    assert thread.join(10)
    assert thread.missing
    assert "scheduler" in supervision.missing()
    [failure] = told
    assert failure.code == "internal"
    assert "scheduler" in failure.message
    assert "supervisor" in (failure.hint or "")
    assert "thread.ended" in caplog.text


def test_one_that_was_told_to_end_or_may_is_not(told: list[AsrqError]) -> None:
    waits = Supervised("waits", lambda: waits.stopping.wait(10))
    reads = Supervised("reads", lambda: None, ends=True)
    for thread in (waits, reads):
        thread.start()
    waits.stop()
    assert waits.join(10)
    assert reads.join(10)
    assert told == []
    assert not {"waits", "reads"} & set(supervision.missing())


def test_what_goes_wrong_while_it_ends_is_logged_and_no_more(
    told: list[AsrqError], caplog: pytest.LogCaptureFixture
) -> None:
    def run() -> None:
        thread.stopping.wait(10)
        raise KeyError("its connection was closed")

    thread = Supervised("late", run)
    thread.start()
    thread.stop()
    assert thread.join(10)
    assert told == []
    assert "thread.ended" in caplog.text


class Slow:
    """A thread that does not notice that it was told to stop, until the test lets it."""

    def __init__(self, *, busy: bool = False) -> None:
        self.go_on = threading.Event()
        self.thread = Supervised("slow", lambda: self.go_on.wait(30))
        self.thread.busy = busy
        self.thread.start()
        self.thread.stop()


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "IDLE_S", 0.1)


@pytest.mark.usefixtures("_short")
def test_an_idle_one_is_left_behind_unless_it_is_worth_waiting() -> None:
    slow = Slow()
    assert wind_down([slow.thread])
    assert slow.thread.alive

    def well() -> bool:
        slow.go_on.set()
        return True

    assert wind_down([slow.thread], worth_waiting=well)
    assert not slow.thread.alive


@pytest.mark.usefixtures("_short")
def test_a_busy_one_is_waited_for_until_its_time_is_over_or_somebody_hurries() -> None:
    slow, hurry = Slow(busy=True), threading.Event()
    assert not wind_down([slow.thread], busy_s=0.2)
    hurry.set()
    assert not wind_down([slow.thread], busy_s=3600, hurry=hurry)
    threading.Timer(0.3, slow.go_on.set).start()
    assert wind_down([slow.thread], busy_s=3600)
    assert not slow.thread.alive


def test_one_that_never_began_has_nothing_to_end() -> None:
    assert wind_down([Supervised("never", lambda: None)])


def test_what_takes_too_long_is_not_waited_for() -> None:
    go_on = threading.Event()
    within(0.05, lambda: go_on.wait(30))
    go_on.set()
