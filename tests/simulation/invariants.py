"""What must hold after each step, and what at rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis import Redis
from simulation import groups, uploads
from simulation.facts import ENDED, GROUP, Facts, JobFacts

from asrq_jobs import keys
from asrq_jobs.request import LANES, Request
from asrq_jobs.settings import Settings

FRONT = frozenset({"end_execution.lua", "recover_dequeued.lua", "reconcile.lua"})
BACK = frozenset({"submit.lua", "retry.lua", "enqueue_due.lua"})
"""Scripts that put a job at the one end of its lane or the other."""
_STATES = frozenset({"", "queued", "started", "scheduled", *ENDED})
"""What the status of a job may be: words of RQ, of which asrq uses these."""
SIMULATED = "simulation:"
"""What the names of keys begin with that are not the program's."""
_KEPT = (
    keys.LIMITS, keys.STATS, keys.WORKERS, keys.RQ_QUEUES, keys.RQ_WORKERS,
    "rq:finished:", "rq:failed:", "rq:canceled:",
)  # fmt: skip


class Broken(AssertionError):  # noqa: N818  # a finding about the program, not an error of the simulation
    """An invariant does not hold."""


@dataclass
class Ledger:
    """What a run has seen of its jobs so far, and of which of them less can be asked.

    `tampered`: RQ's own tools have touched them; `purged`: removed on purpose, at some time; `erased`: they are so now;
    `doubled`: they ran, or had
    ended, while their ids stood in a list (put back as a slot was slow to begin them; canceled in transit), and wait
    once more.
    """

    requests: dict[str, Request] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    tampered: set[str] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    texts: dict[str, set[str]] = field(default_factory=dict)
    completed: dict[str, str] = field(default_factory=dict)
    ended: set[tuple[str, str]] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    group_ends: groups.Ends = field(default_factory=set)
    asked_at: dict[str, float] = field(default_factory=dict)

    def removed(self, job_id: str, script: str) -> None:
        """Note that a script has removed a job on purpose."""
        self.purged.add(job_id)
        if script == "erase.lua":
            self.erased.add(job_id)
            self.completed.pop(job_id, None)


def after_step(
    ledger: Ledger, before: Facts | None, after: Facts, *, script: str, now: float, settings: Settings
) -> Iterator[str]:
    """Yield what is wrong after a step that changed something; `script` is the one that did."""
    for job_id, job in after.jobs.items():
        was = before.jobs.get(job_id) if before else None
        if job.status not in _STATES:
            yield f"{job_id}: {script}: its status is {job.status}"
        if len(leases := after.leases_of(job_id)) > 1:
            yield f"{job_id}: it is held by {leases}"
        if before is not None and was is not None and was.status not in {"", "queued"} and before.places(job_id):
            ledger.doubled.add(job_id)
        if script in {"purge.lua", "erase.lua"} and was is not None and was.status and not job.status:
            ledger.removed(job_id, script)
        if job.status:
            ledger.erased.discard(job_id)
        if job_id in ledger.erased - ledger.tampered:
            yield from (f"{job_id}: {script}: it was erased, and {left}" for left in _left(ledger, job_id, job, after))
        if job_id not in ledger.tampered:
            yield from (f"{job_id}: {claim}" for claim in _of_job(ledger, job_id, job, after, now, settings))
        if was is not None and was.status != job.status and job_id not in ledger.tampered:
            yield from _of_change(job_id, was.status, job.status, script)
        stays = was is not None and job.ended and was.status == job.status and job_id not in ledger.tampered
        if was is not None and stays and (was.result, was.events) != (job.result, job.events):
            yield f"{job_id}: {script} ends it again"
        if job.ended and (was is None or was.result != job.result) and (outcome := job.outcome):
            ledger.ended.add((job_id, outcome["status"]))
    if before is not None:
        yield from _of_order(ledger, before, after, script)
    yield from groups.after_step(ledger.group_ends, after, ledger.requests, ledger.tampered, script=script)
    yield from uploads.after_step(before, after, ledger.requests, ledger.tampered, ledger.erased, script=script)


def _left(ledger: Ledger, job_id: str, job: JobFacts, facts: Facts) -> Iterator[str]:
    """What there is of a job that was erased. An id that stood in a list too many leads to nothing."""
    checks = {
        f"{facts.leases_of(job_id)} hold it": facts.leases_of(job_id),
        "it has events": job.events,
        "it has a result": job.result,
        "it has sound": job.frames,
        "it is marked to be canceled": job.cancel,
        f"something has lifetimes {job.ttls}": any(ttl != -2 for ttl in job.ttls),
        f"it stands in {facts.places(job_id)}": facts.places(job_id) and job_id not in ledger.doubled,
        "it waits for a retry": job_id in facts.scheduled,
        "it is registered as started": any(entry.startswith(f"{job_id}:") for entry in facts.started),
    }
    yield from (claim for claim, holds in checks.items() if holds)


def _of_change(job_id: str, was: str, now: str, script: str) -> Iterator[str]:
    """Who may make what of a job."""
    scripts = {
        "": {"purge.lua", "erase.lua"},
        "queued": {"submit.lua", "retry.lua", "enqueue_due.lua", "end_execution.lua"},
        "started": {"begin.lua"},
        "scheduled": {"end_execution.lua"},
    }
    ended = was in ENDED
    if script not in scripts.get(now, {"end_execution.lua", "begin.lua", "cancel.lua"}):
        yield f"{job_id}: {script} makes it {now or 'vanish'}"
    if (
        (ended and script not in {"retry.lua", "purge.lua", "erase.lua"})
        or (was == "finished" and script != "erase.lua")
        or (now == "started" and was != "queued")
    ):
        yield f"{job_id}: {script} makes it {now or 'vanish'}, and it was {was or 'not there'}"


def _of_job(ledger: Ledger, job_id: str, job: JobFacts, facts: Facts, now: float, settings: Settings) -> Iterator[str]:
    leases, places, outcome = facts.leases_of(job_id), facts.places(job_id), job.outcome
    running = [entry for entry in facts.started if entry.startswith(f"{job_id}:")]
    event = json.loads(job.event) if job.event else {"type": ""}
    checks: dict[str, bool] = {}
    if not job.status:
        if job_id in ledger.accepted and job_id not in ledger.purged:
            yield "it is gone"
        return
    if job.ended:
        checks |= {
            f"it is {job.status} and its result {outcome and outcome['status']}": bool(outcome)
            and outcome["status"] == job.ended,
            f"it is {job.status} and its last event {event['type']}": event["type"] == job.ended,
            f"it is {job.status} and is held by {leases}": not leases
            or _canceled_after_its_lease(job, facts, leases, now),
            f"it is {job.status} and registered as started": not running or bool(leases),
            f"it is {job.status} and waits for a retry": job_id not in facts.scheduled,
            f"it is {job.status} and kept forever {job.ttls}": -1 not in job.ttls,
            f"it is {job.status} and marked to be canceled": not (job.cancel and job.status == "finished"),
        }
    else:
        checks |= {
            f"it is {job.status} and has a result": not outcome,
            f"it is {job.status} and its last event is {event['type']}": event["type"]
            not in {"completed", "failed", "canceled"},
            f"it is {job.status} and expires {job.ttls}": all(ttl < 0 for ttl in job.ttls[:3]),
        }
    match job.status:
        case "queued":
            checks["it is queued and held"] = not leases
            checks[f"it is queued and in {places or 'no list'}"] = len(places) == 1 or (
                len(places) > 1 and job_id in ledger.doubled
            )
        case "scheduled":
            checks["it waits for a retry that nobody knows of"] = job_id in facts.scheduled
            checks["it waits for a retry and is held"] = not leases
        case "started":
            checks[f"it is started and held by {leases}"] = len(leases) == 1
            checks["it is started and not registered so"] = len(running) == 1
            checks["it is started and waits for a retry"] = job_id not in facts.scheduled
    limit = settings.max_attempts
    checks[f"{job.attempts} attempts, {job.before} before a retry by hand"] = job.attempts - job.before <= limit
    yield from (claim for claim, holds in checks.items() if not holds)
    yield from _of_result(ledger, job_id, job, outcome, now)


def _canceled_after_its_lease(job: JobFacts, facts: Facts, leases: list[str], now: float) -> bool:
    """Its execution is still to be forgotten, by the reaper or by a worker that comes back."""
    return job.status == "canceled" and all(facts.leases[lease] <= now for lease in leases)


def _of_result(ledger: Ledger, job_id: str, job: JobFacts, outcome: dict[str, Any] | None, now: float) -> Iterator[str]:
    kept = ledger.completed.get(job_id)
    if kept is not None and job.result != kept:
        yield "its completed result has changed"
    if outcome is None:
        return
    if outcome["status"] == "completed":
        ledger.completed.setdefault(job_id, job.result)
        if outcome["text"] not in ledger.texts.get(job_id, {outcome["text"]}):
            yield f"its text is {outcome['text']!r}"
    if [attempt["number"] for attempt in outcome["attempts"]] != list(range(1, len(outcome["attempts"]) + 1)):
        yield "its attempts are not counted from 1"
    error = outcome["error"] or {}
    ttl_s = ledger.requests[job_id].queue_ttl_s
    if error.get("code") == "expired" and job.enqueued_at:
        waited = now - datetime.fromisoformat(job.enqueued_at).timestamp()
        if ttl_s is None or waited < ttl_s:
            yield f"it has expired after {waited:.1f} s"


def _of_order(ledger: Ledger, before: Facts, after: Facts, script: str) -> Iterator[str]:
    for lane in LANES:
        was, now = before.lists[keys.queue(lane)], after.lists[keys.queue(lane)]
        new = [job_id for job_id in now if job_id not in was]
        if script.endswith(".lua"):
            yield from (
                f"{job_id}: {script} puts it into its lane, and it is {after.jobs[job_id].status}"
                for job_id in new
                if after.jobs[job_id].status != "queued"
            )
        if ledger.tampered or len(new) != 1 or len(now) < 2:
            continue
        if script in FRONT and now[0] != new[0]:
            yield f"{new[0]} comes back and does not go to the front of {now}"
        if script in BACK and now[-1] != new[0]:
            yield f"{new[0]} does not go to the end of {now}"


def at_rest(ledger: Ledger, facts: Facts, redis: Redis, told: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what is wrong when all jobs have had time to end and all hosts have stopped in good order."""
    for job_id in ledger.accepted - ledger.purged - ledger.tampered:
        job = facts.jobs[job_id]
        if not job.ended:
            yield f"{job_id}: it has not ended, it is {job.status}"
        elif redis.zscore(keys.registry(job.status, ledger.requests[job_id].lane), job_id) is None:
            yield f"{job_id}: RQ does not know that it has {job.ended}"
        elif (
            job.ended != "canceled"
            and ledger.requests[job_id].webhook
            and not any(notice["id"] == job_id and notice["status"] == job.ended for notice in told)
        ):
            yield f"{job_id}: its webhook was not told that it has {job.ended}"
    webhook = any(request.group and request.group.webhook for request in ledger.requests.values())
    yield from groups.at_rest(ledger.group_ends, facts, told, webhook=webhook)
    for notice in told:
        if notice["id"] != GROUP and (notice["id"], notice["status"]) not in ledger.ended and not ledger.tampered:
            yield f"{notice['id']}: its webhook was told that it has {notice['status']}, and it has not"
    yield from uploads.at_rest(facts, ledger.tampered, ledger.erased)
    yield from _leftovers(redis)


def _leftovers(redis: Redis) -> Iterator[str]:
    names = sorted(name.decode() for name in redis.scan_iter(count=1000))
    for name in names:
        kind = name.split(":")[0:2]
        busy = name in {keys.LEASES, keys.WEBHOOKS, keys.GROUPS} or name.startswith(("rq:queue:", "asrq:cancel:"))
        busy = busy or kind[1] in {"wip", "scheduled", "execution", "executions"} or name.endswith(":executions")
        if busy:
            yield f"{name} is left over"
        elif not name.startswith((*_KEPT, SIMULATED)) and redis.ttl(name) == -1:
            yield f"{name} never expires"
