"""The one back-off: pauses double up to their limit, however long something fails."""

from __future__ import annotations

import pytest

from asrq_worker.process.backoff import Backoff
from asrq_worker.process.supervisor import RESTARTS

BACKOFF = Backoff(0.5, 6.0)


def test_pauses_double_up_to_their_limit() -> None:
    assert [BACKOFF.pause_s(failures) for failures in range(7)] == [0, 0.5, 1, 2, 4, 6, 6]


def test_what_fails_for_days_is_tried_on() -> None:
    assert BACKOFF.pause_s(100_000) == 6
    assert RESTARTS.pause_s(100_000) == 30


@pytest.mark.parametrize("failures", [1, 2, 6, 100])
def test_jitter_spreads_them_over_half_their_length(failures: int) -> None:
    middle = BACKOFF.pause_s(failures)
    assert BACKOFF.pause_s(failures, jitter=0.0) == 0.75 * middle
    assert BACKOFF.pause_s(failures, jitter=0.5) == middle
    assert middle < BACKOFF.pause_s(failures, jitter=0.999) < 1.25 * middle
