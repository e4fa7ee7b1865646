"""An outage is told now and then, and the pauses grow."""

from __future__ import annotations

import logging

import pytest
from redis.exceptions import ResponseError

from asrq_worker.queue.outage import Outage


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]


def test_an_hour_seen_by_many_threads_is_a_dozen_lines(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    outage = Outage(clock=clock)
    caplog.set_level(logging.INFO)
    while clock.now < 3600:
        for _ in range(10):
            outage.failed(ConnectionError())
        clock.now += 2
    outage.over()
    outage.over()
    assert 8 <= len(_told(caplog)) <= 14
    assert _told(caplog).count("queue.back") == 1
    assert _told(caplog)[-1] == "queue.back"


def test_one_that_comes_and_goes_is_told_no_more_often(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    outage = Outage(clock=clock)
    caplog.set_level(logging.INFO)
    while clock.now < 3600:
        outage.failed(ConnectionError())
        outage.over()
        clock.now += 1
    assert len(_told(caplog)) <= 28


def test_the_next_one_is_news(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    outage = Outage(clock=clock)
    while clock.now < 1000:
        outage.failed(ConnectionError())
        clock.now += 1
    outage.over()
    clock.now += 61
    caplog.clear()
    outage.failed(ConnectionError())
    assert _told(caplog) == ["queue.unreachable"]


def test_pauses_grow_and_stay_below_a_lease(clock: Clock) -> None:
    outage = Outage(clock=clock)
    pauses = []
    for clock.now in (0.0, 1.0, 3.0, 7.0, 100.0):
        at_once = [outage.failed(ConnectionError()) for _thread in range(5)]
        assert max(at_once) <= 2 * min(at_once), "those that fail together are one failure"
        pauses.append(max(at_once))
    assert pauses[0] <= 0.5 < pauses[1] <= 1.0 < pauses[2] <= 2.0 < pauses[3] <= 4.0
    assert 3.0 <= pauses[4] <= 5.0
    outage.over()
    assert outage.failed(ConnectionError()) <= 0.5


def test_why_a_server_cannot_serve_is_told_and_nothing_that_an_error_may_quote(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    full = "MISCONF Errors writing to the AOF file: No space left on device"
    for error in (ResponseError(f"{full} script: on @user_script:253."), ResponseError("ERR no such key: secret")):
        Outage(clock=clock).failed(error)
    assert [vars(record)["asrq_fields"]["reason"] for record in caplog.records] == [full, "ResponseError"]
