"""Jobs of the lanes by status, a page at a time, as calls of the protocol (see `calls`)."""

from __future__ import annotations

from typing import Literal

from asrq_jobs import keys
from asrq_jobs.calls import lane_of, state
from asrq_jobs.errors import JobNotFoundError
from asrq_jobs.request import LANES, Lane
from asrq_jobs.states import STATUSES, JobState, Status
from asrq_jobs.steps import Calls

Order = Literal["list", "soonest", "newest"]
_COMMANDS: dict[Order, tuple[str, str]] = {
    "list": ("LPOS", "LRANGE"),
    "soonest": ("ZRANK", "ZRANGE"),
    "newest": ("ZREVRANK", "ZREVRANGE"),
}
"""How to find a place, and how to get a range."""
_REGISTRIES: dict[Status, keys.Registry] = {"completed": "finished", "failed": "failed", "canceled": "canceled"}
_PAGE = 100
_IDS = 5000  # that are looked through together for those that begin as asked: Redis needs about a millisecond
_PAGES = 1000  # at most so many are gone through for a tag or a beginning, of each lane and status


def jobs(
    status: Status | None,
    *,
    lane: Lane | None,
    most: int,
    after: str | None,
    tag: str | None = None,
    begins: str = "",
) -> Calls[list[JobState]]:
    """Look at jobs, `most` of each lane and status; with `after`, those that follow this job in its lane and status.

    With `tag` only those that have it, and with `begins` only those whose id begins so: no other is looked at. One
    that is not there any more, such as the head of a lane that a worker has taken, is followed by all that are.
    """
    if after is not None:
        status = status or (yield from state(after)).status
        lane = lane or ("interactive" if (yield from lane_of(after)) == "interactive" else "batch")
    found: list[JobState] = []
    for each in (lane,) if lane else LANES:
        for wanted in (status,) if status else STATUSES:
            found += yield from _of_place(each, wanted, most, after, tag, begins)
    return found


def _of_place(
    lane: Lane, status: Status, most: int, after: str | None, tag: str | None, begins: str
) -> Calls[list[JobState]]:
    sifts = tag is not None or bool(begins)
    size = _IDS if begins else max(most, _PAGE) if sifts else most
    found: dict[str, JobState] = {}
    for _ in range(_PAGES if sifts else 1):
        page = yield from _ids(lane, status, size, after)
        for job_id in page:
            if not job_id.startswith(begins):
                continue
            try:
                job = yield from state(job_id)
            except JobNotFoundError:  # it has expired between the two looks
                continue
            if tag is None or tag in job.tags:
                found[job_id] = job
            if len(found) == most:
                return list(found.values())
        if len(page) < size:
            break
        after = page[-1]
    return list(found.values())


def _ids(lane: Lane, status: Status, most: int, after: str | None) -> Calls[list[str]]:
    if status == "processing":  # as many as there are slots; a member names the execution, too
        members: list[bytes] = yield ("ZREVRANGE", keys.registry("wip", lane), 0, -1)
        running = [raw.decode().partition(":")[0] for raw in members]
        first = running.index(after) + 1 if after in running else 0
        return running[first : first + most]
    sources, first = (yield from _sources(lane, status)), 0
    if after is not None:
        for number, (key, order) in enumerate(sources):
            place: int | None = yield (_COMMANDS[order][0], key, after)
            if place is not None:
                sources, first = sources[number:], place + 1
                break
    found: list[bytes] = []
    for key, order in sources:
        found += yield (_COMMANDS[order][1], key, first, first + most - len(found) - 1)
        if len(found) >= most:
            break
        first = 0
    return [raw.decode() for raw in found]


def _sources(lane: Lane, status: Status) -> Calls[list[tuple[str, Order]]]:
    """Name what holds the jobs of a status, first what comes first."""
    if status != "queued":
        return [(keys.registry(_REGISTRIES[status], lane), "newest")]
    queues: list[bytes] = yield ("SMEMBERS", keys.RQ_QUEUES)
    apart: list[tuple[str, Order]] = [(keys.waiting(lane, need), "list") for need in keys.needs(lane, queues)]
    return [(keys.queue(lane), "list"), *apart, (keys.registry("scheduled", lane), "soonest")]
