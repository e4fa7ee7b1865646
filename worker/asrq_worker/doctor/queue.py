"""Checks of Redis: whether it can be trusted with jobs, and what goes wrong in the queue."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from asrq_jobs import keys
from asrq_jobs.client import Client
from asrq_jobs.connection import connect, queue_errors
from asrq_jobs.errors import AsrqError, QueueAuthError
from asrq_jobs.redaction import redacted_url
from asrq_jobs.serving import taking_jobs
from asrq_jobs.settings import Settings
from asrq_worker.doctor.check import Check
from asrq_worker.queue import clock as clocks
from asrq_worker.queue import shared
from asrq_worker.queue.clock import Offset

_OLDEST_REDIS = (6, 2)
_SKEW_WARN_S = 1.0
_OVERDUE_S = 60  # a courier looks every second; a few that are slow to fail may hold it up


T = TypeVar("T")


def examine(config: Settings) -> Iterator[Check]:
    """Yield the findings."""
    where = redacted_url(config.redis_url)
    try:
        with connect(config) as redis, queue_errors(config):
            client = Client(config, redis=redis)
            measured = clocks.measure(redis)
            info = _info(redis)
            there, reaping = _allowed(client.workers), _allowed(client.reaper)
            rubbish = _rubbish(redis)
            overdue = _overdue_webhooks(redis)
    except AsrqError as error:
        yield Check("redis", "fail", error.message, error.hint)
        return
    if info is None:
        yield Check(
            "redis",
            "warn",
            f"Redis at {where} answers, but tells this user nothing of itself: persistence and eviction are unknown.",
            "Run asrq doctor as the user of the worker, or give this one the right to INFO.",
        )
        yield clock(measured, lease_s=config.lease_s)
        yield from _staff(there, reaping)
        return
    yield server(info, where)
    yield persistence(info)
    yield eviction(info)
    yield clock(measured, lease_s=config.lease_s)
    yield from _staff(there, reaping)
    if rubbish is not None:
        yield shared_keys(*rubbish)
    if overdue is not None:
        yield webhooks(*overdue)


def _staff(there: Mapping[str, Mapping[str, Any]] | None, reaping: bool | None) -> Iterator[Check]:
    if there is not None:
        yield workers(there)
    if reaping is not None:
        yield reaper(leads=reaping)


def _allowed(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except QueueAuthError:
        return None


def _info(redis: Redis) -> dict[str, Any] | None:
    try:
        return redis.info()
    except NoPermissionError:
        return None


def _rubbish(redis: Redis) -> tuple[Mapping[str, str], Collection[str]] | None:
    try:
        return shared.spoilt(redis), shared.left_aside(redis)
    except NoPermissionError:
        return None


def _overdue_webhooks(redis: Redis) -> tuple[int, float] | None:
    before = redis.time()[0] - _OVERDUE_S
    try:
        waiting = redis.zcount(keys.WEBHOOKS, 0, before)  # whatever is due earlier was written by hand
        first = redis.zrangebyscore(keys.WEBHOOKS, 0, before, start=0, num=1, withscores=True)
    except ResponseError:  # no right to look, or of another type, which is a finding of its own
        return None
    return waiting, float(first[0][1]) if first else 0.0


def server(info: dict[str, Any], where: str) -> Check:
    """Judge the server by its INFO."""
    version = str(info.get("redis_version", "0"))
    named = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_REDIS:
        return Check("redis", "fail", f"{named} at {where} is too old.", "Install Redis 6.2 or newer, or Valkey.")
    return Check("redis", "ok", f"{named} at {where} answers.")


def persistence(info: dict[str, Any]) -> Check:
    """Judge by INFO whether jobs survive a restart of the server."""
    if int(info.get("aof_enabled", 0)):
        return Check("persistence", "ok", "The append-only file is on: jobs survive a restart of Redis.")
    return Check(
        "persistence",
        "warn",
        "The append-only file is off: jobs are lost when Redis restarts.",
        "Set appendonly yes in redis.conf, now: redis-cli CONFIG SET appendonly yes (asrq up: name a --data folder).",
    )


def eviction(info: dict[str, Any]) -> Check:
    """Judge by INFO whether Redis may throw jobs away."""
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return Check("eviction", "ok", "Redis refuses rather than evicts when memory runs out (noeviction).")
    return Check(
        "eviction",
        "fail",
        f"Redis may throw jobs away when memory runs out (maxmemory-policy {policy}).",
        "Set maxmemory-policy noeviction in redis.conf, now: redis-cli CONFIG SET maxmemory-policy noeviction",
    )


def workers(there: Mapping[str, Mapping[str, Any]]) -> Check:
    """Judge whether anybody takes jobs, by what the workers that are there announced last."""
    if not taking_jobs(there):
        return Check(
            "workers", "warn", "No worker is there: jobs wait.", "Start one: asrq worker (or everything: asrq up)."
        )
    named = ", ".join(f"{name} ({status['state']})" for name, status in there.items())
    return Check("workers", "ok", f"{len(there)} of them: {named}.")


def reaper(*, leads: bool) -> Check:
    """Judge whether what dead workers held comes back."""
    if not leads:
        return Check(
            "reaper",
            "warn",
            "No reaper is there: what a worker that dies held does not come back.",
            "Start: asrq reaper",
        )
    return Check("reaper", "ok", "A reaper brings back what a worker that dies held.")


def shared_keys(spoilt: Mapping[str, str], left_aside: Collection[str]) -> Check:
    """Judge what stands under the keys that all jobs share, and what was moved from there."""
    if spoilt:
        held = ", ".join(f"{key} (a {found}, not a {shared.TYPES[key]})" for key, found in spoilt.items())
        return Check(
            "shared keys",
            "fail",
            f"Something foreign stands where all jobs have to look: {held}.",
            f"Start a reaper, which moves it out of the way, or: redis-cli DEL {' '.join(spoilt)}",
        )
    if left_aside:
        return Check(
            "shared keys",
            "warn",
            f"Something foreign stood where all jobs have to look, and was moved: {', '.join(left_aside)}.",
            "See who can write to Redis (docs/how-to/secure-redis.md); once you have looked at it: "
            f"redis-cli DEL {' '.join(left_aside)}",
        )
    return Check("shared keys", "ok", "Nothing foreign stands under the keys that all jobs share.")


def webhooks(overdue: int, since: float) -> Check:
    """Judge the deliveries that nobody took in time, the first of which has been due `since` then (Unix s)."""
    if not overdue:
        return Check("webhooks", "ok", "No webhook waits for a reaper to deliver it.")
    when = datetime.fromtimestamp(since).astimezone().isoformat(sep=" ", timespec="minutes")
    return Check(
        "webhooks",
        "warn",
        f"No reaper delivers webhooks: {overdue} due for a minute or longer, the first since {when}.",
        f"Start asrq reaper with the workers' ASRQ_WEBHOOK_SECRET, or throw them away: redis-cli DEL {keys.WEBHOOKS}",
    )


def clock(measured: Offset, *, lease_s: float) -> Check:
    """Judge this machine's clock by that of Redis: leases are times."""
    off = abs(measured.ahead_s)
    mend = "Synchronise both clocks, for example: timedatectl set-ntp true"
    if measured.endangers(lease_s):
        return Check("clock", "fail", f"{measured} Leases of {lease_s:g} s cannot be trusted.", mend)
    if off >= _SKEW_WARN_S:
        return Check("clock", "warn", str(measured), mend)
    return Check("clock", "ok", f"The clock agrees with that of Redis within {max(off, 0.001):.3f} s.")
