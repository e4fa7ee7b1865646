"""The circuit breaker's states, by a clock of ours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from asrq_worker.backends.breaker import CircuitBreaker, State


class Clock:
    """Shows the time it was set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, pause_s=5, longest_pause_s=18, clock=clock)


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    for _ in range(3):
        assert breaker.allow()
        breaker.failed()
    return breaker


def test_it_opens_after_failures_in_a_row_only(breaker: CircuitBreaker) -> None:
    for _ in range(4):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
        assert (breaker.state, breaker.allow(), breaker.pause_left_s()) == (State.CLOSED, True, 0)
    opened(breaker)
    assert (breaker.state, breaker.allow(), breaker.pause_left_s()) == (State.OPEN, False, 5)


def test_one_probe_decides(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 4.9
    assert not breaker.allow()
    clock.now += 0.1
    assert breaker.state is State.HALF_OPEN
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: breaker.allow(), range(64))) == 1
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.allow()


def test_pauses_double_up_to_a_limit_and_start_anew_after_a_success(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    pauses = []
    for _ in range(4):
        pauses.append(breaker.pause_left_s())
        clock.now += breaker.pause_left_s()
        assert breaker.allow()
        breaker.failed()
        assert breaker.state is State.OPEN
    assert pauses == [5, 10, 18, 18]
    clock.now += 18
    assert breaker.allow()
    breaker.succeeded()
    assert opened(breaker).pause_left_s() == 5


def test_a_probe_that_says_nothing_is_replaced(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 5
    assert breaker.allow()
    clock.now += 4
    assert not breaker.allow()
    clock.now += 1
    assert breaker.allow()
    assert not breaker.allow()


def test_late_reports(breaker: CircuitBreaker) -> None:
    opened(breaker)
    breaker.failed()
    assert breaker.pause_left_s() == 5, "a call that began before it opened says nothing new"
    breaker.succeeded()
    assert breaker.state is State.CLOSED, "whoever serves a call works"
