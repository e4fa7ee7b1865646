"""What must be true of a queue when everything that was submitted has ended, whatever was killed meanwhile."""

from __future__ import annotations

from typing import Any, cast

from redis import Redis

from asrq_jobs import Client, keys
from asrq_jobs.events import Event
from asrq_jobs.request import LANES
from asrq_jobs.result import Result

# One key each, or bounded: settings, counters, the registries that the reaper tidies.
_WITHOUT_TTL = (
    keys.LIMITS, keys.CANCELED, keys.STATS, keys.WORKERS, keys.POLICY, keys.outcomes(""), keys.RQ_QUEUES,
    keys.RQ_WORKERS, "rq:finished:", "rq:failed:", "rq:canceled:",
)  # fmt: skip


def events(redis: Redis, job_id: str) -> list[Event]:
    """Every event of a job, in order."""
    entries = cast("list[tuple[bytes, dict[bytes, Any]]]", redis.xrange(keys.events(job_id)))
    return [Event.from_entry(fields) for _, fields in entries]


def contradictions(client: Client, job_id: str) -> list[str]:
    """What is wrong with a job that is said to have ended: its result, status, events and attempts must agree."""
    result = client.result(job_id)
    if result is None:
        return [f"{job_id} has no result; it is {client.state(job_id).status}"]
    state, told = client.state(job_id), events(client.redis, job_id)
    last, types = result.attempts[-1] if result.attempts else None, [event.type for event in told]
    terminal = [event.type for event in told if event.terminal]
    expired = _code(result) == "expired"
    ended_waiting = (expired or result.status == "canceled") and types[-2:-1] in (["retrying"], ["queued"])
    by_client = result.status == "canceled" and last is None  # which knows nothing of the attempt of a worker that died
    # An attempt that ended because its worker stopped, or whose worker was lost and told, has a `retrying` event.
    checks = {
        f"status {state.status}, result {result.status}": state.status == result.status,
        f"terminal events {terminal}": terminal == [result.status],
        f"events {types} do not begin with queued and end with the end": types[0] == "queued" and told[-1].terminal,
        f"{types.count('started')} started, {types.count('retrying')} retrying": types.count("started")
        - types.count("retrying")
        in ({0, 1} if by_client else {0} if last is None or ended_waiting else {1}),
        f"attempts {[attempt.number for attempt in result.attempts]}": [a.number for a in result.attempts]
        == list(range(1, len(result.attempts) + 1)),
        "an attempt has no end": all(attempt.ended_at for attempt in result.attempts),
        "an earlier attempt has no error": all(attempt.error for attempt in result.attempts[:-1]),
        "the last attempt and the result differ on the error": last is None or expired or _code(last) == _code(result),
    }
    return [f"{job_id}: {claim}" for claim, holds in checks.items() if not holds]


def _code(of: Any) -> str | None:
    return of.error.code if of.error else None


def leftovers(redis: Redis) -> list[str]:
    """What is still in Redis and should not be, when every job has ended and every worker has stopped in good order.

    Workers that were killed are registered until RQ forgets them; their names do not count.
    """
    found = [f"{keys.LEASES}: {redis.zrange(keys.LEASES, 0, -1)}"] if redis.zcard(keys.LEASES) else []
    for lane in LANES:
        waiting = (keys.queue(lane), keys.intermediate(lane), keys.registry("wip", lane))
        found += [name for name in (*waiting, keys.registry("scheduled", lane)) if redis.exists(name)]
    for pattern in (keys.rq_execution("*", "*"), keys.rq_executions("*"), keys.rq_worker_executions("*")):
        found += _names(redis, pattern)
    found += _names(redis, keys.cancel("*"))
    for name in _names(redis, keys.chunks("*")):
        result = redis.get(keys.result(name.removeprefix(keys.chunks(""))))
        if result is None or Result.from_json(cast("bytes", result)).status == "completed":
            found.append(name)
    for name in [*_names(redis, "asrq:*"), *_names(redis, "rq:*")]:
        if not name.startswith(_WITHOUT_TTL) and redis.ttl(name) == -1:
            found.append(f"{name} never expires")
    return sorted(set(found))


def _names(redis: Redis, pattern: str) -> list[str]:
    return [cast("bytes", name).decode() for name in redis.scan_iter(pattern, count=1000)]
