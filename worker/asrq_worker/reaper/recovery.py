"""Recovers a job whose execution lost its lease: to the front of its lane, or to its end as a failure."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, cast

from redis import Redis
from redis.exceptions import ResponseError

from asrq_jobs import keys
from asrq_jobs.errors import CanceledError, RequestError
from asrq_jobs.result import Attempt
from asrq_jobs.rq import JobHash
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_worker.job.ending import EndVerdict
from asrq_worker.queue import faults, guard, quarantine
from asrq_worker.queue.execution import Execution, attempts_of, forget
from asrq_worker.reaper.findings import lost

Recovered = Literal["requeued", "failed", "canceled", "refused", "forgotten"]

_OUTCOMES: dict[EndVerdict, Recovered] = {"front": "requeued", "failed": "failed", "canceled": "canceled"}


def recover(
    redis: Redis, execution: Execution, settings: Settings, *, now: float, dry_run: bool = False
) -> Recovered | None:
    """Do it, or with `dry_run` only say what would be done; None if the lease was renewed, or the job ended, meanwhile.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or refuses.
    """
    try:
        return _recover(redis, execution, settings, now=now, dry_run=dry_run)
    except CanceledError:  # asked for in this very moment: the next round sees it
        return None
    except ResponseError as error:
        if not quarantine.holds_wrong_type(redis, execution.job_id, error):
            raise
        if not dry_run:
            quarantine.refuse_wrong_type(redis, execution.job_id, execution.lane, settings, lapsed=execution)
        return "refused"


def _recover(redis: Redis, execution: Execution, settings: Settings, *, now: float, dry_run: bool) -> Recovered | None:
    job_id = execution.job_id
    raw = cast("dict[bytes, bytes]", redis.hgetall(keys.job(job_id)))
    job = JobHash.read(raw)
    execution = replace(execution, worker=job.worker or "")
    if not raw:
        if not dry_run:
            pipe = redis.pipeline(transaction=True)
            forget(pipe, execution)
            pipe.execute()
        return "forgotten"
    try:
        request = guard.admit(job_id, execution.lane, raw, redis)
        attempts = attempts_of(redis, job_id)
    except RequestError as error:
        if not dry_run:
            quarantine.refuse(redis, job_id, execution.lane, raw, error, settings, lapsed=execution)
        return "refused"
    ending = lost(
        execution,
        request,
        attempts or (Attempt(number=1, worker=execution.worker, started_at=iso(now)),),
        settings,
        earlier=job.attempts_before,
        canceled=bool(redis.exists(keys.cancel(job_id))),
        created_at=job.created_at,
        now=now,
    )
    assert ending.verdict is not None  # noqa: S101  # a lost execution is never left to another
    outcome = _OUTCOMES[ending.verdict]
    if dry_run:
        return outcome
    faults.reach("recovering")
    kept = execution.end(redis, ending, audio=request.audio, blob_ttl_s=settings.blob_ttl_s, lapsed_by=now)
    faults.reach("recovered")
    return outcome if kept else None
