"""Estimates of what waits and how long it takes."""

from __future__ import annotations

import math

import pytest

from asrq_worker.monitor.backlog import Backlog, BacklogEstimate, LaneFacts


def test_nothing_waits_nothing_to_drain() -> None:
    assert BacklogEstimate().update(0, LaneFacts(0, 0, 0)) == Backlog(0, 0)


def test_without_a_completed_job_nothing_is_made_up() -> None:
    assert BacklogEstimate().update(0, LaneFacts(7, 0, 0)) == Backlog(None, None)


def test_the_length_is_known_from_before_the_pace_is_not() -> None:
    assert BacklogEstimate().update(0, LaneFacts(7, 3000, 100)) == Backlog(7 * 30, None)


def test_a_busy_lane_drains_at_its_pace() -> None:
    estimate = BacklogEstimate()
    for second in range(0, 61, 2):  # half a job of 10 s a second, and as many come
        backlog = estimate.update(second, LaneFacts(40, 5.0 * second, second // 2))
    assert backlog.audio_s == pytest.approx(400)
    assert backlog.drain_s == pytest.approx(400 / 5)


def test_idle_hours_do_not_count_as_slowness() -> None:
    estimate = BacklogEstimate()
    estimate.update(0, LaneFacts(10, 0, 0))
    estimate.update(10, LaneFacts(5, 50, 5))
    estimate.update(20, LaneFacts(0, 100, 10))
    estimate.update(20_000, LaneFacts(0, 100, 10))
    assert estimate.update(20_002, LaneFacts(30, 100, 10)) == Backlog(pytest.approx(300), pytest.approx(300 / 5))


def test_a_new_mix_of_jobs_is_followed() -> None:
    estimate = BacklogEstimate()
    estimate.update(0, LaneFacts(0, 1000 * 5, 1000))
    assert estimate.update(2, LaneFacts(1, 1000 * 5 + 500 * 60, 1500)).audio_s == pytest.approx(60, rel=0.1)


def test_a_lane_that_stands_still_is_told_after_a_minute() -> None:
    estimate = BacklogEstimate()
    facts = LaneFacts(3, 100, 10)
    drains = [estimate.update(second, facts).drain_s for second in range(0, 70, 2)]
    assert drains[0] is None
    assert drains[-1] == math.inf
    assert estimate.update(72, LaneFacts(3, 110, 11)).drain_s not in {None, math.inf}


def test_a_redis_that_lost_its_data_starts_anew() -> None:
    estimate = BacklogEstimate()
    estimate.update(0, LaneFacts(2, 9000, 10))
    assert estimate.update(2, LaneFacts(2, 0, 0)) == Backlog(None, None)
    assert estimate.update(4, LaneFacts(2, 8, 1)).audio_s == pytest.approx(16)
