"""Ends a job that the guard refused, and leaves in its place a hash that RQ's tools can read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError, WatchError

from asrq_jobs import keys, rq
from asrq_jobs.errors import AsrqError, MalformedJobError
from asrq_jobs.result import Result
from asrq_jobs.rq import JobHash
from asrq_jobs.settings import Settings
from asrq_worker.job import ending as endings
from asrq_worker.queue import calls, clock, shared_keys
from asrq_worker.queue.execution import Execution, forget

_KEPT_BYTES = 4096
_OWN: Final[dict[Callable[[str], str], bytes]] = {
    keys.job: b"hash",
    keys.events: b"stream",
    keys.attempts: b"list",
    keys.chunks: b"hash",
    keys.cancel: b"string",
    keys.rq_results: b"stream",
    keys.rq_executions: b"zset",
    keys.result: b"string",
}
"""Keys that one job has for itself, with the types of what they hold."""


def holds_wrong_type(redis: Redis, job_id: str, error: ResponseError) -> bool:
    """Whether a command failed because a key of this very job has the wrong type: another program has written it.

    If a shared key has the wrong type, no job is to blame, and none must end because of it.
    """
    if not shared_keys.is_wrong_type(error):
        return False
    pipe = redis.pipeline(transaction=False)
    for key in _OWN:
        pipe.type(key(job_id))
    return any(found not in {b"none", kind} for found, kind in zip(pipe.execute(), _OWN.values(), strict=True))


def refuse_wrong_type(
    redis: Redis, job_id: str, lane: str, settings: Settings, *, lapsed: Execution | None = None
) -> None:
    """Fail a job of which `holds_wrong_type` is true."""
    error = MalformedJobError(f"A key of the job {job_id} holds something else.")
    refuse(redis, job_id, lane, {}, error, settings, lapsed=lapsed)


def refuse(
    redis: Redis,
    job_id: str,
    lane: str,
    raw: dict[bytes, bytes],
    error: AsrqError,
    settings: Settings,
    *,
    lapsed: Execution | None = None,
) -> None:
    """Fail the job in one transaction; of what was written only the beginning stays, in its hash as `refused`.

    `lapsed` is the execution that held it, if there was one. A job that was erased since `raw` was read stays so.
    """
    ending = endings.of_job(Result.from_error(error.info(), job_id), settings, at=clock.ask(redis))
    with redis.pipeline(transaction=True) as pipe:
        while True:
            pipe.watch(keys.job(job_id))  # type: ignore[no-untyped-call]  # redis-py's gap
            if raw and not pipe.exists(keys.job(job_id)):
                return
            pipe.multi()
            _fill(pipe, job_id, lane, raw, error, ending)
            if lapsed is not None:
                forget(pipe, lapsed)
            with suppress(WatchError):
                # Shared keys may have the wrong type, too: this job has ended all the same.
                pipe.execute(raise_on_error=False)
                break
    if group := raw.get(rq.GROUP.encode()):  # if this host dies now, the reaper counts it some time later
        calls.count(redis, group.decode(errors="replace"), job_id, ttl_s=ending.ttl_s)


def _fill(
    pipe: Pipeline, job_id: str, lane: str, raw: dict[bytes, bytes], error: AsrqError, ending: endings.Ending
) -> None:
    now, job = ending.event.at, JobHash.read(raw)
    assert ending.result is not None  # noqa: S101  # a job that ends has one
    pipe.delete(*(key(job_id) for key in _OWN))  # of any type
    pipe.hset(
        keys.job(job_id),
        mapping=rq.refused_job(lane, error.code, kept=job.data[:_KEPT_BYTES], group=raw.get(rq.GROUP.encode()), at=now),
    )
    apart = [keys.waiting(lane, job.waits_for)] if job.waits_for else []
    for place in (keys.queue(lane), keys.intermediate(lane), *apart):
        pipe.lrem(place, 0, job_id)
    pipe.zadd(keys.registry("failed", lane), {job_id: now + ending.ttl_s})
    pipe.set(keys.result(job_id), ending.result.to_json(), ex=ending.ttl_s)
    pipe.xadd(keys.events(job_id), {"event": ending.event.to_json()})
    pipe.hincrby(keys.STATS, "refused", 1)
    for key in (keys.job(job_id), keys.events(job_id)):
        pipe.expire(key, ending.ttl_s)
