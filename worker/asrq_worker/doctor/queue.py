"""Checks of Redis: whether it can be trusted with jobs, and what goes wrong in the queue."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from redis import Redis
from redis.exceptions import NoPermissionError

from asrq_jobs import keys, policy
from asrq_jobs.client import Client
from asrq_jobs.connection import connect, queue_errors
from asrq_jobs.errors import QueueAuthError, QueueUnreachableError
from asrq_jobs.policy import Policy
from asrq_jobs.redaction import redacted_url
from asrq_jobs.serving import nobody
from asrq_jobs.settings import Settings
from asrq_worker.backends import registry
from asrq_worker.doctor.check import Check, failed
from asrq_worker.queue import shared_keys

_OLDEST_REDIS = (6, 2)
_OVERDUE_S = 60  # a courier looks every second; a few that are slow to fail may hold it up


def examine(config: Settings) -> Generator[Check, None, Policy | None]:
    """Yield the findings; where Redis does not answer, that is the last one. Return the policy, if there is one."""
    in_force: Policy | None = None

    def look_at_policy() -> Check:
        nonlocal in_force
        in_force = policy.read(redis)
        return judge_policy(in_force, config)

    try:
        with connect(config) as redis:
            for name, question in (*_questions(redis, config), ("policy", look_at_policy)):
                try:
                    with queue_errors(config):
                        found = question()
                except QueueUnreachableError:
                    raise
                except QueueAuthError:
                    if name == "redis":
                        raise
                except Exception as error:  # noqa: BLE001  # see `failed`
                    if not shared_keys.is_wrong_type(error.__cause__ or error):  # which is a finding of its own
                        yield failed(name, error)
                else:
                    yield found
    except Exception as error:  # noqa: BLE001  # see `failed`
        yield failed("redis", error)
    return in_force


def _questions(redis: Redis, config: Settings) -> Iterator[tuple[str, Callable[[], Check]]]:
    """Yield them by name; those that this user has no right to ask find nothing."""
    client = Client(config, redis=redis)
    info = cache(redis.info)
    yield "redis", lambda: _server(info, redacted_url(config.redis_url))
    yield "persistence", lambda: persistence(info())
    yield "eviction", lambda: eviction(info())
    yield "workers", lambda: workers(client.workers())
    yield "reaper", lambda: reaper(leads=client.reaper())
    yield "shared keys", lambda: judge_shared_keys(shared_keys.wrong_types(redis), shared_keys.left_aside(redis))
    yield "webhooks", lambda: webhooks(*_overdue_webhooks(redis))


def _server(info: Callable[[], dict[str, Any]], where: str) -> Check:
    try:
        return server(info(), where)
    except NoPermissionError:
        return Check(
            "redis",
            "warn",
            f"Redis at {where} answers, but tells this user nothing of itself: persistence and eviction are unknown.",
            "Run asrq doctor as the user of the worker, or give this one the right to INFO.",
        )


def _overdue_webhooks(redis: Redis) -> tuple[int, float]:
    before = redis.time()[0] - _OVERDUE_S
    waiting = redis.zcount(keys.WEBHOOKS, 0, before)  # earlier ones were written by hand
    first = redis.zrangebyscore(keys.WEBHOOKS, 0, before, start=0, num=1, withscores=True)
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


def judge_policy(found: Policy | None, config: Settings) -> Check:
    """Judge what serves, by `asrq backend` or by the settings here."""
    if found is None:
        serving = f"{config.backend} serves, with the fallback {config.fallback_backend or policy.NONE}"
        return Check("policy", "ok", f"None is set, so the settings of each worker say what serves: here {serving}.")
    serving = f"By asrq backend, {found.backend} serves, with the fallback {found.fallback or policy.NONE}"
    instead = "" if found.backend == config.backend else f", whatever ASRQ_BACKEND says ({config.backend} here)"
    if unknown := [name for name in found.backends if not registry.known(name)]:
        return Check(
            "policy",
            "warn",
            f"{serving}{instead}; this host has no backend {' or '.join(unknown)}.",
            "Install it here too, if this host is to serve it.",
        )
    return Check("policy", "ok", f"{serving}{instead}.")


def workers(there: Mapping[str, Mapping[str, Any]]) -> Check:
    """Judge whether any worker takes jobs, by the last status of each that is there."""
    if absence := nobody(there):
        blocked = any(status["state"] == "blocked" for status in there.values())
        start, fix = "Start one: asrq worker (or everything: asrq up).", "Let them write: they go on by themselves."
        return Check("workers", "warn", f"{absence[0].upper()}{absence[1:]}.", fix if blocked else start)
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


def judge_shared_keys(damaged: Mapping[str, str], left_aside: Collection[str]) -> Check:
    """Judge the values of the shared keys, and those that were moved from there."""
    if damaged:
        held = ", ".join(f"{key} (a {found}, not a {shared_keys.TYPES[key]})" for key, found in damaged.items())
        return Check(
            "shared keys",
            "fail",
            f"Keys that all jobs share hold values of the wrong type: {held}.",
            f"Start a reaper, which moves it out of the way, or: redis-cli DEL {' '.join(damaged)}",
        )
    if left_aside:
        return Check(
            "shared keys",
            "warn",
            f"Values of the wrong type were found under shared keys, and moved: {', '.join(left_aside)}.",
            "See who can write to Redis (docs/how-to/secure-redis.md); once you have looked at it: "
            f"redis-cli DEL {' '.join(left_aside)}",
        )
    return Check("shared keys", "ok", "The keys that all jobs share have the right types.")


def webhooks(overdue: int, since: float) -> Check:
    """Judge the deliveries that no courier took in time; the first has been due `since` then (Unix s)."""
    if not overdue:
        return Check("webhooks", "ok", "No webhook waits for a reaper to deliver it.")
    when = datetime.fromtimestamp(since).astimezone().isoformat(sep=" ", timespec="minutes")
    return Check(
        "webhooks",
        "warn",
        f"No reaper delivers webhooks: {overdue} due for a minute or longer, the first since {when}.",
        f"Start asrq reaper with the workers' ASRQ_WEBHOOK_SECRET, or throw them away: redis-cli DEL {keys.WEBHOOKS}",
    )
