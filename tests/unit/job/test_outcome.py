"""What becomes of a job whose attempt has ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_jobs.errors import (
    AsrqError,
    AudioUnreadableError,
    CanceledError,
    DecoderCrashedError,
    EngineCrashedError,
    LeaseLostError,
    NoRoomError,
    PoisonedError,
    ShutdownError,
    StorageError,
    WorkerLostError,
    all_errors,
)
from asrq_jobs.result import Attempt
from asrq_worker.job.outcome import Outcome, decide, in_the_end


def _decide(error: AsrqError, *, attempts: int = 1, jitter: float = 0.5) -> Outcome:
    return decide(error, attempts=attempts, max_attempts=3, retry_delay_s=2.0, jitter=jitter)


@pytest.mark.parametrize("error", [AudioUnreadableError("x"), PoisonedError("x")])
def test_what_cannot_get_better_fails_at_once(error: AsrqError) -> None:
    assert _decide(error) == Outcome("failed")


def test_a_crash_is_retried_later_and_later_until_the_limit() -> None:
    delays = [_decide(EngineCrashedError("x"), attempts=n).delay_s for n in (1, 2)]
    assert delays == [2.0, 4.0]
    assert _decide(EngineCrashedError("x"), attempts=3) == Outcome("failed")


def test_a_lost_worker_costs_an_attempt_but_no_delay() -> None:
    assert _decide(WorkerLostError("x")) == Outcome("front", counts=True)
    assert _decide(WorkerLostError("x"), attempts=3) == Outcome("failed")


def test_a_shutdown_costs_nothing_even_at_the_limit() -> None:
    assert _decide(ShutdownError("x"), attempts=3) == Outcome("front", counts=False)


def test_a_disk_that_cannot_be_written_costs_nothing_and_too_large_a_job_an_attempt() -> None:
    assert _decide(StorageError("x"), attempts=3) == Outcome("front", counts=False)
    assert _decide(NoRoomError("x"), attempts=1).verdict == "retry"
    assert _decide(NoRoomError("x"), attempts=3) == Outcome("failed")


def test_a_lost_lease_is_left_to_its_new_holder() -> None:
    assert _decide(LeaseLostError("x")).verdict == "abandon"


def test_a_cancel_is_a_cancel() -> None:
    assert _decide(CanceledError("x")).verdict == "canceled"


@given(
    kind=st.sampled_from(all_errors()),
    attempts=st.integers(1, 30),
    limit=st.integers(1, 21),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_no_error_is_retried_without_end_or_at_once_in_a_loop(
    kind: type[AsrqError], attempts: int, limit: int, jitter: float
) -> None:
    outcome = decide(kind("x"), attempts=attempts, max_attempts=limit, retry_delay_s=2.0, jitter=jitter)
    if outcome.verdict == "retry":
        assert attempts < limit
        assert 0 < outcome.delay_s <= 375
    if not kind.retryable:
        assert outcome.verdict in {"failed", "canceled", "abandon"}


@pytest.mark.parametrize(
    ("earlier", "code"),
    [
        ([], "decoder_crashed"),
        ([DecoderCrashedError("x")], "poisoned"),
        ([DecoderCrashedError("x"), DecoderCrashedError("x")], "poisoned"),
        ([DecoderCrashedError("x"), WorkerLostError("x")], "decoder_crashed"),
        ([None, DecoderCrashedError("x")], "decoder_crashed"),
    ],
)
def test_a_file_that_kills_the_decoder_each_time_is_poison(earlier: list[AsrqError | None], code: str) -> None:
    attempts = [
        Attempt(number=n, worker="w", started_at="", error=error.info() if error else None)
        for n, error in enumerate(earlier, 1)
    ]
    assert in_the_end(DecoderCrashedError("x"), attempts).code == code
    assert in_the_end(EngineCrashedError("x"), attempts).code == "engine_crashed"
