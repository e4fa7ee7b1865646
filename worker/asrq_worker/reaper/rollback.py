"""Rolls back a backend on trial when its outcomes condemn it: the reaper's part, because one reaper leads."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from pydantic import ValidationError
from redis import Redis

from asrq_jobs import keys
from asrq_jobs import policy as policies
from asrq_worker.queue import shared_keys
from asrq_worker.routing.policy import BackendOutcome, verdict
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.reaper")


def judge(redis: Redis, *, now: float, dry_run: bool = False) -> str | None:
    """Return the backend that was rolled back (with `dry_run`: that would be), if there is one.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or refuses.
    """
    try:
        current = policies.read(redis)
    except ValidationError:
        return None  # workers report it, and go by the last one
    if current is None or current.on_trial is None or current.changed_at is None:
        return None
    usual = current.backend if current.canary else current.fallback or current.backend
    if not dry_run:
        shared_keys.set_aside(redis, {keys.outcomes(name): "list" for name in (current.on_trial, usual)})
    since = datetime.fromisoformat(current.changed_at).timestamp()
    reason = verdict(_outcomes(redis, current.on_trial), _outcomes(redis, usual), now=now, since=since)
    if reason is None or dry_run:
        return reason and current.on_trial
    after = current.rolled_back()
    if not policies.write(redis, current, after, reason=f"automatic rollback: {reason}", by="reaper"):
        return None
    _log.warning("policy.rolled_back", backend=current.on_trial, to=after.backend, reason=reason)
    return current.on_trial


def _outcomes(redis: Redis, backend: str) -> list[BackendOutcome]:
    listed = cast("list[bytes]", redis.lrange(keys.outcomes(backend), 0, -1))
    try:
        return [BackendOutcome.model_validate_json(entry) for entry in listed]
    except ValidationError:  # written by hand
        return []
