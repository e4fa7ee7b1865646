"""Where a job stands, in the protocol's words."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from asrq_jobs.errors import ErrorInfo

Status = Literal["queued", "processing", "completed", "failed", "canceled"]
STATUSES: tuple[Status, ...] = ("queued", "processing", "completed", "failed", "canceled")

# RQ's words for a job's status, in the protocol's.
FROM_RQ: dict[str, Status] = {
    "queued": "queued",
    "scheduled": "queued",
    "started": "processing",
    "finished": "completed",
    "failed": "failed",
    "canceled": "canceled",
    "stopped": "canceled",
}


class Submitted(BaseModel):
    """Answer to a submission."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: Status
    created: bool
    depth: int | None = None


class JobState(BaseModel):
    """Where a job stands now."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: Status
    lane: str | None = None
    position: int | None = None
    attempt: int = 0
    description: str | None = None
    worker: str | None = None
    enqueued_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    error: ErrorInfo | None = None
