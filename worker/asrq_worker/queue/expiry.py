"""Ends jobs that nobody took in time: those that have waited in their lane for longer than their `queue_ttl_s`."""

from __future__ import annotations

from typing import cast

from redis import Redis

from asrq_jobs import keys, scripts
from asrq_jobs.errors import ExpiredError, RequestError
from asrq_jobs.request import BlobAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_worker.job import ending as endings
from asrq_worker.queue import guard, quarantine
from asrq_worker.queue.execution import attempts_of, rq_result


def expire(redis: Redis, request: Request, settings: Settings, *, created_at: str | None, now: float) -> bool:
    """Fail the job with the code `expired`; False if it waits no more, or not for too long.

    Raises:
        MalformedJobError: its history was written by hand.
    """
    if request.queue_ttl_s is None:
        return False
    job_id, lane, ttl_s = request.id, request.lane, settings.failure_ttl_s
    error = ExpiredError(f"No worker took the job within {request.queue_ttl_s} s.").info()
    ending = endings.of_job(
        Result.from_error(error, job_id, task=request.task),
        settings,
        at=now,
        webhook=request.webhook,
        earlier=attempts_of(redis, job_id),
        created_at=created_at,
    )
    assert ending.result is not None  # noqa: S101  # a job that ends has one
    audio = request.audio
    named = [
        keys.job(job_id),
        keys.queue(lane),
        keys.intermediate(lane),
        keys.registry("failed", lane),
        keys.result(job_id),
        keys.rq_results(job_id),
        keys.events(job_id),
        keys.attempts(job_id),
        keys.chunks(job_id),
        keys.cancel(job_id),
        keys.STATS,
        keys.blob(audio.sha256 if isinstance(audio, BlobAudio) else "none"),
        keys.WEBHOOKS,
    ]
    _, shown = rq_result(ending.result)
    delivery = ending.delivery.model_dump_json() if ending.delivery else ""
    answer = scripts.load(redis, "expire")(
        named,
        [job_id, iso(now - request.queue_ttl_s), iso(now), ending.result.to_json(), ending.event.to_json(), shown,
         ttl_s, f"{now + ttl_s:.6f}", max(ttl_s, settings.blob_ttl_s), delivery],
    )  # fmt: skip
    return bool(answer)


def expire_waiting(redis: Redis, job_id: str, lane: str, settings: Settings, *, now: float) -> bool:
    """The same for a job of which only the name is known; one that is none of ours is refused."""
    raw = cast("dict[bytes, bytes]", redis.hgetall(keys.job(job_id)))
    if not raw:
        return False
    try:
        request = guard.admit(job_id, lane, raw, redis)
        return expire(redis, request, settings, created_at=raw.get(b"created_at", b"").decode() or None, now=now)
    except RequestError as error:
        quarantine.refuse(redis, job_id, lane, raw, error, settings)
        return True
