"""What stops a job, and what counts as moving."""

from __future__ import annotations

import pytest

from asrq_jobs.errors import CanceledError, DeadlineError, ShutdownError
from asrq_worker.job.control import JobControl


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_reason_to_stop_stays() -> None:
    control = JobControl()
    control.check()
    control.stop(CanceledError("first"))
    control.stop(ShutdownError("second"))
    with pytest.raises(CanceledError, match="first"):
        control.check()


def test_the_time_limit_counts_from_the_start() -> None:
    clock = Clock()
    control = JobControl(clock=clock)
    clock.now += 8
    control.limit(10)
    control.check()
    clock.now += 3
    with pytest.raises(DeadlineError, match="within 10 s"):
        control.check()


def test_a_job_moves_as_long_as_its_thread_looks_whether_it_may() -> None:
    clock = Clock()
    control = JobControl(patience_s=30, clock=clock)
    for _ in range(1000):  # however long it waits
        clock.now += 30
        assert control.moving()
        control.check()
    clock.now += 30.1
    assert not control.moving()
    control.moved()
    assert control.moving()


def test_one_that_is_stopped_still_moves() -> None:
    clock = Clock()
    control = JobControl(patience_s=30, clock=clock)
    control.stop(CanceledError("stop"))
    clock.now += 31
    with pytest.raises(CanceledError):
        control.check()
    assert control.moving()
