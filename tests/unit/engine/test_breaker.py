"""The circuit breaker's states, by a clock of ours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from asrq_worker.engine.breaker import BreakerState, CircuitBreaker
from asrq_worker.process.backoff import Backoff


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
    return CircuitBreaker(failures=3, backoff=Backoff(5, 18), clock=clock)


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    for _ in range(3):
        assert breaker.begin()
        breaker.failed()
    return breaker


def test_it_opens_after_failures_in_a_row_only(breaker: CircuitBreaker) -> None:
    for _ in range(4):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
        assert (breaker.state, breaker.allows(), breaker.pause_left_s()) == (BreakerState.CLOSED, True, 0)
    opened(breaker)
    assert (breaker.state, breaker.allows(), breaker.pause_left_s()) == (BreakerState.OPEN, False, 5)


def test_one_probe_decides(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 4.9
    assert breaker.begin() is None
    clock.now += 0.1
    assert breaker.state is BreakerState.HALF_OPEN
    with ThreadPoolExecutor(8) as threads:
        probes = list(filter(None, threads.map(lambda _: breaker.begin(), range(64))))
    assert len(probes) == 1
    probes[0].succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.begin()


def test_looking_is_free(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    assert not breaker.allows()
    clock.now += 5
    assert all(breaker.allows() for _ in range(10))
    assert breaker.begin()
    assert not breaker.allows()


def test_a_probe_that_comes_to_nothing_is_given_back(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 5
    with pytest.raises(KeyError), breaker.begin() or pytest.fail("no probe"):
        raise KeyError
    assert breaker.state is BreakerState.HALF_OPEN
    probe = breaker.begin()
    assert probe is not None
    with breaker.begin(anyway=True) or pytest.fail("no call"):
        pass
    assert not breaker.allows(), "a call that was made anyway has no probe to give back"
    with probe:
        probe.failed()
    assert (breaker.state, breaker.pause_left_s()) == (BreakerState.OPEN, 10)
    clock.now += 10
    assert breaker.allows()


def test_where_there_is_no_other_way_a_call_is_made(breaker: CircuitBreaker) -> None:
    call = opened(breaker).begin(anyway=True)
    assert call is not None
    call.succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_pauses_double_up_to_a_limit_and_start_anew_after_a_success(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    pauses = []
    for _ in range(4):
        pauses.append(breaker.pause_left_s())
        clock.now += breaker.pause_left_s()
        assert breaker.begin()
        breaker.failed()
        assert breaker.state is BreakerState.OPEN
    assert pauses == [5, 10, 18, 18]
    clock.now += 18
    assert breaker.begin()
    breaker.succeeded()
    assert opened(breaker).pause_left_s() == 5


def test_a_probe_that_says_nothing_is_replaced(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 5
    late = breaker.begin()
    assert late
    clock.now += 4
    assert breaker.begin() is None
    clock.now += 1
    assert breaker.begin()
    with late:
        pass
    assert breaker.begin() is None, "it has none to give back any more"


def test_late_reports(breaker: CircuitBreaker) -> None:
    opened(breaker)
    breaker.failed()
    assert breaker.pause_left_s() == 5, "a call that began before it opened says nothing new"
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED, "a backend that serves a call works"
