"""What the reaper decides, from what it saw: pure functions without Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set

from asrq_jobs.errors import WorkerLostError
from asrq_jobs.events import Event
from asrq_jobs.request import Request
from asrq_jobs.result import Attempt, Result
from asrq_jobs.settings import Settings
from asrq_worker.execution import Execution, iso
from asrq_worker.outcome import decide
from asrq_worker.task import Ended, attempt_limit

_SILENT_S = 86_400.0  # far beyond the load of any model, which a host spends without slots


def stuck(
    seen: Mapping[str, float], now_there: Set[str], *, now: float, after_s: float
) -> tuple[set[str], dict[str, float]]:
    """Decide which ids have been between dequeue and start for too long.

    `seen` maps ids of the last round to the time they were first seen there; returns the stuck ones and the map
    for the next round. A stuck one counts anew from there: it is put back, and its next dequeue is another story.
    """
    first = {job_id: seen.get(job_id, now) for job_id in now_there}
    late = {job_id for job_id, at in first.items() if now - at >= after_s}
    return late, {job_id: at for job_id, at in first.items() if job_id not in late}


def lost(
    execution: Execution,
    request: Request,
    attempts: tuple[Attempt, ...],
    settings: Settings,
    *,
    earlier: int,
    created_at: str | None,
    now: float,
) -> Ended:
    """Decide what becomes of a job whose execution lost its lease: it goes to the front of its lane, or has failed.

    `attempts` ends with the lost one; `earlier` of them do not count against the limit.
    """
    error = WorkerLostError(
        f"The worker {execution.worker or 'that held the job'} stopped renewing its lease.",
        hint="It was killed, lost its network or hung; see its log.",
    )
    outcome = decide(
        error,
        attempts=len(attempts) - earlier,
        max_attempts=attempt_limit(request, settings),
        retry_delay_s=settings.retry_delay_s,
        jitter=0.0,
    )
    info = error.info()
    last = attempts[-1].model_copy(update={"ended_at": iso(now), "error": info})
    if outcome.verdict == "front":
        return Ended("front", Event(type="retrying", at=now, attempt=last.number, delay_s=0.0, error=info), last)
    result = Result(
        id=execution.job_id,
        status="failed",
        task=request.task,
        error=info,
        attempts=(*attempts[:-1], last),
        created_at=created_at,
        started_at=last.started_at,
        completed_at=iso(now),
    )
    event = Event(type="failed", at=now, attempt=last.number, error=info)
    return Ended("failed", event, last, result, ttl_s=settings.failure_ttl_s)


def gone(hosts: Mapping[str, str], slots: Set[str], *, now: float) -> set[str]:
    """Decide which of the hosts that announced themselves are dead: announced long ago, and without a slot.

    `hosts` maps names to what each announced last (JSON with `at`, Unix s), `slots` names the registered slots.
    """
    alive = {slot.rsplit(".", 3)[0] for slot in slots}  # <host>.<backend>.<lane>.<number>
    return {name for name, announced in hosts.items() if name not in alive and now - _at(announced) > _SILENT_S}


def _at(announced: str) -> float:
    try:
        return float(json.loads(announced)["at"])
    except (ValueError, KeyError, TypeError):  # written by hand
        return 0.0
