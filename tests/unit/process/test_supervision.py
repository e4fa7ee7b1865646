"""Threads that a process cannot do without: what is told of their ends, and how long those are waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from asrq_jobs.errors import AsrqError
from asrq_worker.process import supervision
from asrq_worker.process.flag import Flag
from asrq_worker.process.supervision import Supervised, wait_while_busy, wind_down, within


@pytest.fixture
def told() -> Iterator[list[AsrqError]]:
    """What the code that ends the process is told."""
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
        self.fails = False
        self.thread = Supervised("slow", self._run)
        self.thread.busy = busy
        self.thread.start()
        self.thread.stop()

    def _run(self) -> None:
        assert self.go_on.wait(30)
        assert not self.fails


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "IDLE_S", 0.1)


@pytest.mark.usefixtures("_short")
def test_one_is_left_behind_at_once_where_nothing_answers_it(caplog: pytest.LogCaptureFixture) -> None:
    slow, cut = Slow(), threading.Event()
    wind_down([slow.thread], well=lambda: False, cut=cut.set)
    assert slow.thread.alive
    assert not cut.is_set()
    wind_down([slow.thread], well=slow.go_on.wait)  # it is not waited for again
    slow.fails = True
    slow.go_on.set()
    assert slow.thread.join(10)
    assert caplog.text == ""  # its connection was closed under it


@pytest.mark.usefixtures("_short")
def test_otherwise_it_is_cut_off_after_a_while() -> None:
    slow, hangs = Slow(), Slow()
    wind_down([slow.thread, hangs.thread], cut=slow.go_on.set)
    assert not slow.thread.alive
    assert hangs.thread.abandoned
    hangs.go_on.set()


def test_a_busy_one_is_waited_for_until_its_time_is_over_or_somebody_hurries() -> None:
    slow, hurry = Slow(busy=True), Flag()
    assert not wait_while_busy([slow.thread], 0.2)
    hurry.set()
    assert not wait_while_busy([slow.thread], 3600, hurry=hurry)
    slow.go_on.set()
    assert wait_while_busy([slow.thread], 3600)


def test_one_that_never_began_has_nothing_to_end() -> None:
    never = Supervised("never", lambda: None)
    wind_down([never], well=lambda: False)
    assert not never.abandoned


def test_what_takes_too_long_is_not_waited_for() -> None:
    go_on = threading.Event()
    within(0.05, lambda: go_on.wait(30))
    go_on.set()
