"""Ends jobs that nobody took in time: those that have waited in their lane for longer than their `queue_ttl_s`."""

from __future__ import annotations

from typing import cast

from redis import Redis

from asrq_jobs import keys
from asrq_jobs.errors import ExpiredError, RequestError
from asrq_jobs.request import Request
from asrq_jobs.result import Result
from asrq_jobs.rq import JobHash
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_worker.job import ending as endings
from asrq_worker.queue import calls, guard, quarantine
from asrq_worker.queue.execution import attempts_of


def expire(redis: Redis, request: Request, settings: Settings, *, created_at: str | None, now: float) -> bool:
    """Fail the job with the code `expired`; False if it waits no more, or not for too long.

    Raises:
        MalformedJobError: its history was written by hand.
    """
    if request.queue_ttl_s is None:
        return False
    error = ExpiredError(f"No worker took the job within {request.queue_ttl_s} s.").info()
    ending = endings.of_job(
        Result.from_error(error, request.id, task=request.task),
        settings,
        at=now,
        request=request,
        earlier=attempts_of(redis, request.id),
        created_at=created_at,
    )
    return calls.expire(
        redis,
        request.id,
        request.lane,
        ending,
        before=iso(now - request.queue_ttl_s),
        audio=request.audio,
        blob_ttl_s=settings.blob_ttl_s,
    )


def expire_waiting(redis: Redis, job_id: str, lane: str, settings: Settings, *, now: float) -> bool:
    """The same for a job of which only the name is known; one that is none of ours is refused."""
    raw = cast("dict[bytes, bytes]", redis.hgetall(keys.job(job_id)))
    if not raw:
        return False
    try:
        request = guard.admit(job_id, lane, raw, redis)
        return expire(redis, request, settings, created_at=JobHash.read(raw).created_at, now=now)
    except RequestError as error:
        quarantine.refuse(redis, job_id, lane, raw, error, settings)
        return True
