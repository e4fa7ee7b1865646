"""The states of jobs, in the protocol's words, and what it means that there is no job or no result."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from asrq_jobs.errors import AsrqError, CanceledError, ErrorInfo, JobNotFoundError

Status = Literal["queued", "processing", "completed", "failed", "canceled"]
STATUSES: tuple[Status, ...] = ("queued", "processing", "completed", "failed", "canceled")


class Submitted(BaseModel):
    """Answer to a submission."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: Status
    created: bool
    depth: int | None = None


class JobState(BaseModel):
    """The state of a job.

    `metadata` and `tags` are those of its request. `position` is its place among those that wait, from 1; with
    `at_least` it is there or later, in the middle of a long lane. `waits_for` is what a worker must be able to do if it
    waits apart from its lane, for a worker that can do it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    status: Status
    lane: str | None = None
    position: int | None = None
    at_least: bool = False
    waits_for: str | None = None
    attempt: int = 0
    description: str | None = None
    worker: str | None = None
    enqueued_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    error: ErrorInfo | None = None
    metadata: dict[str, str] = {}
    tags: tuple[str, ...] = ()


def missing(job_id: str) -> JobNotFoundError:
    """Return the error for a job that is not there."""
    return JobNotFoundError(
        f"No job {job_id}: never submitted here, erased, or its time to live has passed.",
        hint="`asrq list` shows the jobs of this queue; check ASRQ_REDIS_URL.",
    )


def without_result(job_id: str, status: Status | None, *, held: bool) -> AsrqError | None:
    """Decide whether a job that has no result will get none, None if it may; `held`: a worker has it.

    RQ's own tools cancel and delete jobs without a result, and one that runs in name only: it ends as usual.
    """
    if status is None:
        return missing(job_id)
    if status == "canceled" and not held:
        return CanceledError(
            f"Job {job_id} was canceled by one of RQ's own tools, which leave no result.",
            hint=f"To run it after all: asrq retry {job_id}",
        )
    if status in {"completed", "failed"}:
        return JobNotFoundError(f"The result of job {job_id} has expired.", hint="Submit the audio again.")
    return None
