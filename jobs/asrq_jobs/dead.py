"""Dead letters: jobs that have failed for good, kept with their history until they are retried or purged.

Calls as in `asrq_jobs.steps`.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from asrq_jobs import keys, rq
from asrq_jobs.calls import lane_of, result
from asrq_jobs.errors import ErrorInfo, JobStateError
from asrq_jobs.request import LANES, Lane
from asrq_jobs.result import Attempt
from asrq_jobs.rq import FROM_RQ
from asrq_jobs.states import missing
from asrq_jobs.steps import Calls, Script, server_time


class DeadLetter(BaseModel):
    """A failed job. `failed_at` is ISO 8601; `attempts` are all there were, also those before a retry by hand."""

    model_config = ConfigDict(frozen=True)

    id: str
    lane: str
    failed_at: str | None = None
    description: str | None = None
    backend: str | None = None
    error: ErrorInfo | None = None
    attempts: tuple[Attempt, ...] = ()


def letters(
    *,
    lane: Lane | None = None,
    code: str | None = None,
    older_than_s: float | None = None,
    most: int | None = 100,
) -> Calls[list[DeadLetter]]:
    """List dead letters, newest first in each lane: `most` of each lane, all if None, of those that fit the rest."""
    before = None if older_than_s is None else (yield from server_time()) - older_than_s
    found: list[DeadLetter] = []
    for place in (lane,) if lane else LANES:
        wanted = 0
        members: list[bytes] = yield ("ZREVRANGE", keys.registry("failed", place), 0, -1)
        for member in members:
            if wanted == most:
                break
            read = yield from _read(member.decode(errors="replace"))
            if isinstance(read, DeadLetter) and _fits(read, code, before):
                found.append(read)
                wanted += 1
    return found


def letter(job_id: str) -> Calls[DeadLetter]:
    """Get one; `JobNotFoundError` or `JobStateError` if there is none of that id."""
    read = yield from _read(job_id)
    if not isinstance(read, DeadLetter):
        raise missing(job_id) if read is None else _not_failed(job_id, read)
    return read


def purge(job_id: str) -> Calls[None]:
    """Remove one for good, but for its upload; `JobNotFoundError` or `JobStateError` if there is none of that id."""
    lane = yield from lane_of(job_id)
    named = [
        keys.job(job_id),
        keys.registry("failed", lane),
        keys.result(job_id),
        keys.events(job_id),
        keys.attempts(job_id),
        keys.chunks(job_id),
        keys.rq_results(job_id),
    ]
    raw: bytes = yield Script("purge", named, [job_id])
    if raw == b"missing":
        raise missing(job_id)
    if raw != b"purged":
        raise _not_failed(job_id, raw.decode())


def _read(job_id: str) -> Calls[DeadLetter | str | None]:
    """Read a failed job; the status of one that has not failed, None without one."""
    raw: list[bytes | None] = yield (
        "HMGET", keys.job(job_id), rq.STATUS, rq.ORIGIN, rq.ENDED_AT, rq.DESCRIPTION
    )  # fmt: skip
    status, origin, ended_at, description = rq.texts(raw)
    if status != rq.FAILED:
        return status
    outcome = yield from result(job_id)
    return DeadLetter(
        id=job_id,
        lane=keys.lane_of(origin or ""),
        failed_at=ended_at or None,
        description=description,
        backend=outcome.backend if outcome else None,
        error=outcome.error if outcome else None,
        attempts=outcome.attempts if outcome else (),
    )


def _fits(letter: DeadLetter, code: str | None, before: float | None) -> bool:
    if code is not None and (letter.error is None or letter.error.code != code):
        return False
    return before is None or (
        letter.failed_at is not None and datetime.fromisoformat(letter.failed_at).timestamp() < before
    )


def _not_failed(job_id: str, status: str) -> JobStateError:
    return JobStateError(f"Job {job_id} is {FROM_RQ.get(status, status)}; only a failed job is a dead letter.")
