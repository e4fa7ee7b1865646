"""Talking to Redis failed, or the queue refused."""

from __future__ import annotations

from typing import ClassVar

from asrq_jobs.errors.base import AsrqError, Stage


class QueueError(AsrqError):
    """Talking to Redis failed, or the queue refused. `retry_after_s`: when to try again, if that is known."""

    stage: ClassVar[Stage] = "queue"
    retry_after_s: int | None = None


class QueueUnreachableError(QueueError):
    """Redis does not answer."""

    code = "queue_unreachable"
    retryable = True
    default_hint = "Start Redis (or `asrq up`) and check ASRQ_REDIS_URL."


class QueueAuthError(QueueError):
    """Redis refused the user or password."""

    code = "queue_auth"
    default_hint = "Check the user and password in ASRQ_REDIS_URL."


class QueueRefusedError(QueueError):
    """Redis answers, but cannot serve now (loading, read-only, out of memory)."""

    code = "queue_refused"
    retryable = True
    default_hint = "Try again soon; the server's own log says what keeps it."


class QueueUnusableError(QueueError):
    """Redis answers, but will never do what was asked: a key is another program's, or there is no such database."""

    code = "queue_unusable"
    default_hint = "asrq wants Redis 6.2 or newer, or Valkey, and a database that nothing else uses."


class QueueFullError(QueueError):
    """The lane already holds as many jobs as the operator allows."""

    code = "queue_full"
    retryable = True
    default_hint = "Try again later, or use the other lane."


class TooFastError(QueueError):
    """Frames of a live job come faster than they may."""

    code = "too_fast"
    retryable = True
    default_hint = "Append the same frame again in a second."


class QuotaError(QueueError):
    """The key has used up what the operator allows it."""

    code = "quota_exceeded"
    retryable = True


class JobConflictError(QueueError):
    """The job id is taken by a different request."""

    code = "job_conflict"
    default_hint = "Use another id; the same id with the same request is accepted again."


class JobNotFoundError(QueueError):
    """No job with this id (never submitted, or its time to live has passed)."""

    code = "job_not_found"


class JobStateError(QueueError):
    """The job is not in a state that allows the action."""

    code = "job_state"


class WaitTimeoutError(QueueError):
    """The job did not end within the time the caller wanted to wait."""

    code = "wait_timeout"
    retryable = True
    default_hint = "The job goes on; wait again with `asrq wait ID`."
