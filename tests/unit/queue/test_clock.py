"""How far the clocks of this machine and of Redis are apart, and when that is said."""

from __future__ import annotations

from typing import cast

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from asrq_worker.queue.clock import ClockWatch, Offset, offset
from asrq_worker.queue.outage import Outage

LEASE_S = 15.0


def test_an_answer_was_made_half_a_round_trip_ago_give_or_take_that_half() -> None:
    assert offset(100.0, (100, 250_000), 0.5) == Offset(0.0, 0.25)
    assert offset(107.0, (100, 0), 2.0) == Offset(8.0, 1.0)
    assert offset(100.0, (103, 500_000), 0.0) == Offset(-3.5, 0.0)


@pytest.mark.parametrize(
    ("ahead_s", "uncertain_s", "endangers"),
    [(4.9, 0, False), (5.1, 0, True), (-5.1, 0, True), (6.0, 2.0, False), (60.0, 2.0, True)],
)
def test_what_is_surely_more_than_a_third_of_a_lease_endangers_it(
    ahead_s: float, uncertain_s: float, *, endangers: bool
) -> None:
    """A slow network is no wrong clock."""
    assert Offset(ahead_s, uncertain_s).endangers(LEASE_S) == endangers


def test_a_change_is_told_once_with_the_clock_by_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    found = [Offset(0.1, 0), Offset(-7.25, 0), Offset(-7.5, 0), Offset(0.1, 0)]
    watch = ClockWatch(cast("Redis", None), Outage(), lease_s=LEASE_S, measure=lambda _redis: found.pop(0))
    problems = []
    for _ in range(4):
        assert watch.look() > 0
        problems.append(watch.problem())
    assert problems[0] is problems[3] is None
    assert problems[1] == "The clock of this machine is 7.2 s behind that of Redis. Leases of 15 s cannot be trusted."
    assert "7.5 s behind" in str(problems[2])
    assert [record.message for record in caplog.records] == ["clock.off", "clock.right"]


def test_who_may_not_ask_says_nothing() -> None:
    def refused(_redis: Redis) -> Offset:
        raise NoPermissionError("this user has no permissions to run the 'time' command")

    watch = ClockWatch(cast("Redis", None), Outage(), lease_s=LEASE_S, measure=refused)
    assert watch.look() > 0
    assert watch.problem() is None
