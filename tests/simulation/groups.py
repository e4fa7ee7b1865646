"""What must hold of the group of a run: its counts are those of its jobs, and it is told of once all have ended."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from simulation.facts import COUNTED, GROUP, Facts

from asrq_jobs.request import Request

Ends = set[tuple[int, ...]]
"""The counts with which it has ended so far, at some time."""


def after_step(
    ends: Ends, after: Facts, requests: Mapping[str, Request], tampered: Collection[str], *, script: str
) -> Iterator[str]:
    """Yield what is wrong after a step; RQ's own tools count nothing, so less is asked of what they have touched."""
    group = after.group
    if group is None:
        named = [job_id for job_id, job in after.jobs.items() if job.status and requests[job_id].group]
        yield from (f"{job_id}: {script}: its group is not there" for job_id in named)
        return
    for job_id in requests.keys() - set(tampered):
        if not requests[job_id].group:
            continue
        job, counted = after.jobs[job_id], group.jobs.get(job_id)
        if job.status and counted != (job.ended or "open"):
            yield f"{job_id}: {script}: it is {job.status}, and its group has it as {counted}"
        if not job.status and counted == "open":
            yield f"{job_id}: {script}: it is gone, and its group has it as open"
    counts, each = group.counts, list(group.jobs.values())
    if any(counts[name] != each.count(name) for name in COUNTED):
        yield f"{script}: the group counts {counts} of {group.jobs}"
    if any(ttl == -1 for ttl in group.ttls) != (counts["open"] > 0 or group.untold):
        yield f"{script}: the group lives {group.ttls}, {counts['open']} of its jobs are open, untold: {group.untold}"
    last = json.loads(group.event) if group.event else {"type": ""}
    if last["type"] == "ended" and sum(last[name] for name in COUNTED[1:]) < last["size"]:
        yield f"{script}: the group is said to have ended: {last}"
    if group.ended:
        ends.add(tuple(counts.values()))
        if last["type"] != "ended" or any(last[name] != counts[name] for name in COUNTED):
            yield f"{script}: the group has ended as {counts}, and its last event is {last}"


def at_rest(ends: Ends, facts: Facts, told: list[dict[str, Any]], *, webhook: bool) -> Iterator[str]:
    """Yield what is wrong when all jobs have had time to end."""
    notices = [tuple(notice[name] for name in COUNTED) for notice in told if notice["id"] == GROUP]
    yield from (f"the group was told to have ended as {notice}" for notice in notices if notice not in ends)
    group = facts.group
    if group is None:
        return
    if group.counts["open"]:
        yield f"the group waits for {[job_id for job_id, outcome in group.jobs.items() if outcome == 'open']}"
    if group.untold or (group.ended and webhook and tuple(group.counts.values()) not in notices):
        yield f"nobody was told that the group has ended as {group.counts}"
