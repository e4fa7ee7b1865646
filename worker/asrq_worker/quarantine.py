"""Ends a job that the guard refused, and leaves in its place a hash that RQ's tools can read."""

from __future__ import annotations

import json
import time

from redis import Redis

from asrq_jobs import keys
from asrq_jobs.errors import AsrqError
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_worker.execution import Execution, forget, iso

_KEPT_BYTES = 4096


def refuse(
    redis: Redis,
    job_id: str,
    lane: str,
    raw: dict[bytes, bytes],
    error: AsrqError,
    *,
    ttl_s: int,
    lapsed: Execution | None = None,
) -> None:
    """Fail the job in one transaction; the beginning of what was written stays in its hash as `refused`.

    `lapsed` is the execution that held it, if there was one.
    """
    now = time.time()
    info = error.info()
    result = Result(id=job_id, status="failed", error=info, completed_at=iso(now))
    pipe = redis.pipeline(transaction=True)
    pipe.delete(keys.job(job_id))
    pipe.hset(
        keys.job(job_id),
        mapping={
            "created_at": iso(now),
            "enqueued_at": iso(now),
            "ended_at": iso(now),
            "data": json.dumps([keys.FUNCTION, None, [{"refused": info.code}], {}]),
            "description": f"refused: {info.code}",
            "origin": keys.queue_name(lane),
            "status": "failed",
            "refused": raw.get(b"data", b"")[:_KEPT_BYTES],
        },
    )
    pipe.lrem(keys.intermediate(lane), 1, job_id)
    pipe.zadd(keys.registry("failed", lane), {job_id: now + ttl_s})
    pipe.set(keys.result(job_id), result.to_json(), ex=ttl_s)
    pipe.xadd(keys.events(job_id), {"event": Event(type="failed", at=now, error=info).to_json()})
    pipe.hincrby(keys.STATS, "refused", 1)
    pipe.delete(keys.cancel(job_id))
    if lapsed is not None:
        forget(pipe, lapsed)
    for key in (keys.job(job_id), keys.events(job_id), keys.attempts(job_id), keys.chunks(job_id)):
        pipe.expire(key, ttl_s)
    pipe.execute()
