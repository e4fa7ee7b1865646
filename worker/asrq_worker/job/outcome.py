"""What becomes of a job whose attempt has ended: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from asrq_jobs.errors import (
    AsrqError,
    CanceledError,
    DecoderCrashedError,
    LeaseLostError,
    PoisonedError,
    ShutdownError,
    StorageError,
    WorkerLostError,
)
from asrq_jobs.request import Request
from asrq_jobs.result import Attempt
from asrq_jobs.settings import Settings
from asrq_worker.process.backoff import Backoff

Verdict = Literal["failed", "canceled", "retry", "front", "abandon"]

_LONGEST_DELAY_S = 300.0


@dataclass(frozen=True)
class Outcome:
    """What to do with the job.

    `retry` waits `delay_s` first, `front` goes back to the head of its lane at once; `abandon` touches nothing,
    because another execution holds the job. `counts` says whether the attempt counts against the limit.
    """

    verdict: Verdict
    delay_s: float = 0.0
    counts: bool = True


def decide(
    error: AsrqError,
    *,
    attempts: int,
    max_attempts: int,
    retry_delay_s: float,
    jitter: float,
    elsewhere: bool = False,
) -> Outcome:
    """Decide by the error that ended the attempt.

    `attempts` counts this one; `jitter` is a random number in [0, 1) that spreads retries over half their delay.
    `elsewhere`: this worker cannot serve the job, and another one can.
    """
    if isinstance(error, LeaseLostError):
        return Outcome("abandon")
    if isinstance(error, CanceledError):
        return Outcome("canceled")
    if elsewhere or isinstance(error, ShutdownError | StorageError):
        return Outcome("front", counts=False)
    if not error.retryable or attempts >= max_attempts:
        return Outcome("failed")
    if isinstance(error, WorkerLostError):
        return Outcome("front")
    return Outcome("retry", delay_s=Backoff(retry_delay_s, _LONGEST_DELAY_S).pause_s(attempts, jitter=jitter))


def in_the_end(error: AsrqError, earlier: Sequence[Attempt]) -> AsrqError:
    """Return what a job has failed of: a file that killed its decoder in every attempt, two at least, is poison."""
    codes = [attempt.error.code if attempt.error else None for attempt in earlier]
    if isinstance(error, DecoderCrashedError) and codes and set(codes) == {error.code}:
        return PoisonedError(
            f"This file killed the decoder in each of {len(codes) + 1} attempts.",
            hint="Convert it with another program, to WAV for instance, and submit that.",
        )
    return error


def attempt_limit(request: Request, settings: Settings) -> int:
    """Return how many attempts a job gets."""
    return settings.max_attempts if request.retries is None else request.retries + 1
