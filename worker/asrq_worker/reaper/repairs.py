"""What the reaper does about what it found: each repair looks again before it acts, and may be done by two at once."""

from __future__ import annotations

from redis import Redis
from redis.exceptions import ResponseError

from asrq_jobs import keys
from asrq_jobs.request import LANES
from asrq_jobs.settings import Settings
from asrq_worker.queue import calls, expiry, quarantine
from asrq_worker.queue.execution import Execution, forget, give_back
from asrq_worker.reaper.findings import Finding

_MOST = 200  # jobs that one round puts back, so that it stays short


def repair(redis: Redis, finding: Finding, settings: Settings, *, now: float) -> bool:
    """Do what a finding asks for; False if there was nothing to do any more.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or refuses.
    """
    try:
        return bool(_repair(redis, finding, settings, now))
    except ResponseError as error:
        if not finding.lane or not quarantine.holds_wrong_type(redis, finding.subject, error):
            raise
        quarantine.refuse_wrong_type(redis, finding.subject, finding.lane, settings)
        return False


def _repair(redis: Redis, finding: Finding, settings: Settings, now: float) -> object:
    done: object
    subject, lane = finding.subject, finding.lane
    match finding.kind:
        case "due":
            done = calls.enqueue_due(redis, subject, lane, by=now)
        case "recovered":
            done = give_back(redis, subject, lane)
        case "reconciled":
            need, ttl_s = finding.need or None, settings.failure_ttl_s
            done = calls.reconcile(redis, subject, lane, need=need, ttl_s=ttl_s, now=now)
        case "expired":
            done = expiry.expire_waiting(redis, subject, lane, settings, now=now)
        case "returned":
            done = _return(redis, keys.waiting(lane, subject), keys.queue(lane))
        case "renewed":
            done = _renew(redis, subject, settings.blob_ttl_s)
        case "forgotten":
            done = _forget_execution(redis, subject)
        case "workers":
            done = redis.hdel(keys.WORKERS, subject)
        case "counted":
            done = calls.count(redis, finding.group, subject, ttl_s=settings.failure_ttl_s)
        case "told":
            done = calls.tell_group(redis, subject, tells=settings.webhook_secret is not None)
        case _:  # "slots", the last of them
            done = _forget_slot(redis, subject)
    return done


def _return(redis: Redis, apart: str, lane: str) -> bool:
    """Put jobs back into their lane, in order: the next worker serves them, or fails them with the reason."""
    pipe = redis.pipeline(transaction=False)
    for _ in range(min(redis.llen(apart), _MOST)):
        pipe.lmove(apart, lane, "LEFT", "RIGHT")
    return any(pipe.execute())


def _renew(redis: Redis, sha256: str, ttl_s: int) -> bool:
    """Keep an upload, and the list of jobs that may need it: in one step, as they are to live equally long."""
    pipe = redis.pipeline(transaction=True)
    pipe.expire(keys.blob(sha256), ttl_s)
    pipe.expire(keys.uses(sha256), ttl_s)
    return any(pipe.execute())


def _forget_execution(redis: Redis, lease: str) -> bool:
    pipe = redis.pipeline(transaction=True)
    try:
        forget(pipe, Execution.of_lease(lease, worker=""))
    except ValueError:  # written by hand
        pipe.zrem(keys.LEASES, lease)
    return any(pipe.execute())


def _forget_slot(redis: Redis, name: str) -> bool:
    pipe = redis.pipeline(transaction=True)
    for registered in (keys.RQ_WORKERS, *map(keys.rq_workers, LANES)):
        pipe.srem(registered, keys.rq_worker(name), name)  # the latter, if it was written by hand
    return any(pipe.execute())
