"""What the reaper decides, from what it saw: pure functions without Redis."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Literal, TypeVar

from asrq_jobs import rq
from asrq_jobs.errors import AsrqError, CanceledError, WorkerLostError
from asrq_jobs.presence import STOPPED
from asrq_jobs.request import LANES, Request
from asrq_jobs.result import Attempt, Result
from asrq_jobs.rq import ENDED, MAY_RUN
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_worker.job import ending as endings
from asrq_worker.job.ending import Ending
from asrq_worker.job.outcome import attempt_limit, decide
from asrq_worker.queue.execution import Execution
from asrq_worker.reaper.snapshot import SeenJob, Snapshot
from asrq_worker.routing.offers import Need, Registration, served

_SILENT_S = 86_400.0  # far beyond the load of any model, which a host spends without slots

_STOPPED_S = 600.0  # a worker that stopped in good order may be back by then, with another name

FindingKind = Literal[
    "due", "recovered", "reconciled", "expired", "returned", "renewed", "forgotten", "workers", "slots",
    "counted", "told",
]  # fmt: skip

# What looks wrong but may be under way just now: to be repaired when it has looked so for a while.
DOUBTFUL: frozenset[FindingKind] = frozenset({"recovered", "reconciled", "returned", "forgotten", "slots"})

T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Finding:
    """Something to repair. `subject` is a job's id; of `returned` a need, of `renewed` the sha256 of an upload, of
    `forgotten` a lease, of `workers` and `slots` a name, of `told` a group. `need`: the job was seen among those that
    wait for that. `group`: it counts as open there."""

    kind: FindingKind
    subject: str
    lane: str = ""
    need: str = ""
    group: str = ""


def lapsed(seen: Snapshot) -> list[Execution]:
    """Decide which executions are lost, longest first: those whose lease has lapsed, if no other has the job."""
    live = {execution.job_id for execution, expiry in _executions(seen).items() if expiry > seen.at}
    found = [(expiry, execution) for execution, expiry in _executions(seen).items() if execution.job_id not in live]
    return [execution for _, execution in sorted(found, key=lambda pair: pair[0])]


def inspect(seen: Snapshot, *, blob_ttl_s: int) -> list[Finding]:
    """Decide what else is wrong. No job is in two findings, and none that an execution holds, lapsed or not."""
    held = {execution.job_id for execution in _executions(seen)}
    of_jobs: dict[str, Finding] = {}
    for finding in _of_jobs(seen):
        if finding.subject not in held:
            of_jobs.setdefault(finding.subject, finding)
    return [
        *of_jobs.values(),
        *_of_needs(seen),
        *_of_executions(seen, held),
        *_of_uploads(seen, blob_ttl_s),
        *_of_workers(seen),
        *(Finding("counted", job_id, group=group) for job_id, group in seen.uncounted),
        *(Finding("told", group) for group in seen.ended),
    ]


def _of_jobs(seen: Snapshot) -> Iterator[Finding]:
    waiting = {
        (lane, job_id): need
        for lane, places in seen.lanes.items()
        for need, ids in (*places.apart.items(), ("", places.waiting))
        for job_id in ids
    }
    for lane, places in seen.lanes.items():
        yield from (Finding("due", job_id, lane) for job_id in places.due)
        yield from (Finding("recovered", job_id, lane) for job_id in places.dequeued)
    for job_id, job in seen.jobs.items():
        lane = job.lane or next((lane for lane in LANES if (lane, job_id) in waiting), LANES[0])
        if job.status == rq.QUEUED and job.lane and _overdue(job, now=seen.at):
            yield Finding("expired", job_id, lane)
        elif job_id in seen.lost or _misplaced(job, waits=(lane, job_id) in waiting):
            yield Finding("reconciled", job_id, lane, waiting.get((lane, job_id), ""))


def _overdue(job: SeenJob, *, now: float) -> bool:
    """Whether it waits for too long. Each stay in the lane counts on its own, and the pause before a retry does not."""
    return job.queue_ttl_s is not None and job.enqueued_at != "" and job.enqueued_at < iso(now - job.queue_ttl_s)


def _misplaced(job: SeenJob, *, waits: bool) -> bool:
    """Whether a job that no execution holds is not where its status says, or does not live as long as it should.

    `waits`: it has been seen among those that wait.
    """
    if job.status is None:
        return waits or (job.traces and not job.kept)
    if job.lane is None:
        return False
    if job.status in ENDED:
        return waits or job.traces or not job.expires
    if job.status == rq.QUEUED:
        return job.expires
    if job.status == rq.SCHEDULED:
        return job.expires or not job.scheduled
    return job.status == rq.STARTED


def _of_needs(seen: Snapshot) -> Iterator[Finding]:
    """Needs that jobs wait for and no registered worker can serve."""
    needs = [(lane, need) for lane, places in seen.lanes.items() for need in places.apart]
    if needs:
        workers = [worker for registration in seen.workers.values() if (worker := Registration.read(registration))]
        yield from (Finding("returned", need, lane) for lane, need in needs if not _served(need, lane, workers))


def _served(need: str, lane: str, workers: Iterable[Registration]) -> bool:
    try:
        return served(Need.parse(need), lane, workers)
    except ValueError:  # written by hand
        return False


def _of_executions(seen: Snapshot, held: Set[str]) -> Iterator[Finding]:
    """Executions that cannot commit any more. That of a started job is left: the job is recovered through it."""
    live = {execution.job_id for execution, expiry in _executions(seen).items() if expiry > seen.at}
    for lease, expiry in seen.leases.items():
        execution = _execution(lease)
        if execution is None or (expiry <= seen.at and execution.job_id in live):
            yield Finding("forgotten", lease)
    for lane, places in seen.lanes.items():
        for job_id, execution_id in places.started:
            lease = Execution(job_id, execution_id, lane, "").lease
            lost = job_id not in held and seen.jobs.get(job_id, SeenJob()).status == rq.STARTED
            if lease not in seen.leases and not lost:
                yield Finding("forgotten", lease)


def _of_uploads(seen: Snapshot, ttl_s: int) -> Iterator[Finding]:
    """Uploads that would stay forever, and those that would go while a job may still need them."""
    wanted = {job.blob for job in seen.jobs.values() if job.status in MAY_RUN}
    for sha256, left_s in seen.blobs.items():
        if left_s == -1 or (sha256 in wanted and 0 <= left_s < ttl_s / 2):
            yield Finding("renewed", sha256)


def _of_workers(seen: Snapshot) -> Iterator[Finding]:
    yield from (Finding("workers", name) for name in sorted(_gone(seen.workers, seen.slots.keys(), now=seen.at)))
    yield from (Finding("slots", name) for name, beats in seen.slots.items() if not beats)


def _executions(seen: Snapshot) -> dict[Execution, float]:
    return {execution: expiry for lease, expiry in seen.leases.items() if (execution := _execution(lease))}


def _execution(lease: str) -> Execution | None:
    try:
        return Execution.of_lease(lease, worker="")
    except ValueError:  # written by hand
        return None


def confirmed(
    seen: Mapping[T, float], now_there: Set[T], *, now: float, after_s: float
) -> tuple[set[T], dict[T, float]]:
    """Decide which things have been there at every look for long enough.

    `seen` maps those of the last look to the time they were first seen; returns the confirmed ones and the map for the
    next look. A confirmed one counts anew from there: it is repaired, and the next time is a new case.
    """
    first = {thing: seen.get(thing, now) for thing in now_there}
    late = {thing for thing, at in first.items() if now - at >= after_s}
    return late, {thing: at for thing, at in first.items() if thing not in late}


def lost(
    execution: Execution,
    request: Request,
    attempts: tuple[Attempt, ...],
    settings: Settings,
    *,
    earlier: int,
    canceled: bool,
    created_at: str | None,
    now: float,
) -> Ending:
    """Decide what becomes of a job whose execution lost its lease: it goes to the front of its lane, or has ended.

    `attempts` ends with the lost one; `earlier` of them do not count against the limit. `canceled`: a client has asked.
    """
    error: AsrqError = WorkerLostError(
        f"Nothing was heard of the job from {execution.worker or 'its worker'} for a whole lease.",
        hint="The worker was killed, stopped or cut off, or the job hangs there (lease.not_renewed in its log).",
    )
    if canceled:
        error = CanceledError("Canceled; nothing was heard of its worker any more.")
    outcome = decide(
        error,
        attempts=len(attempts) - earlier,
        max_attempts=attempt_limit(request, settings),
        retry_delay_s=settings.retry_delay_s,
        jitter=0.0,
    )
    info = error.info()
    last = endings.closed(attempts[-1], at=now, error=info)
    if outcome.verdict == "front":
        return endings.of_attempt("front", info, last, at=now)
    return endings.of_job(
        Result.from_error(info, execution.job_id, task=request.task),
        settings,
        at=now,
        request=request,
        earlier=attempts[:-1],
        attempt=last,
        created_at=created_at,
    )


def _gone(workers: Mapping[str, str], slots: Set[str], *, now: float) -> set[str]:
    """Decide which registered workers are gone: they last registered long ago, and have no slot.

    `workers` maps names to the last registration of each (JSON with `at`, Unix s, and `state`), `slots` names the
    registered slots.
    """
    alive = {slot.rsplit(".", 3)[0] for slot in slots}  # <worker>.<backend>.<lane>.<number>
    return {name for name, registration in workers.items() if name not in alive and now > _kept_until(registration)}


def _kept_until(registration: str) -> float:
    try:
        said = json.loads(registration)
        return float(said["at"]) + (_STOPPED_S if said.get("state") == STOPPED else _SILENT_S)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):  # written by hand
        return 0.0
