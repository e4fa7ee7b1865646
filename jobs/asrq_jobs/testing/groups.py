"""Groups in memory: what `asrq_jobs.groups` asks Redis is answered from what was counted here."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from asrq_jobs import keys
from asrq_jobs.errors import JobConflictError
from asrq_jobs.groups import AsyncGroup, Group, GroupEvent, JobOutcome
from asrq_jobs.request import GroupMembership
from asrq_jobs.steps import Command

_PATIENCE_S = 10.0


@dataclass
class _Counted:
    """A group: what its jobs name, what became of each, and its events."""

    group: GroupMembership
    jobs: dict[str, JobOutcome] = field(default_factory=dict)
    events: list[GroupEvent] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        each = Counter(self.jobs.values())
        return {"size": self.group.size, **{name: each[name] for name in ("open", "completed", "failed", "canceled")}}

    def fields(self) -> dict[str, str]:
        """The hash that Redis would hold."""
        at = self.events[-1].at if self.events else 0
        return {**{f":{name}": str(count) for name, count in self.counts().items()}, ":at": str(at), **self.jobs}


class Groups:
    """The groups of a queue in memory, by their keys."""

    def __init__(self) -> None:
        self._groups: dict[str, _Counted] = {}

    def join(self, job_id: str, group: GroupMembership | None) -> None:
        """Count a job as open.

        Raises:
            JobConflictError: the group is another, or has all of its jobs.
        """
        if group is None:
            return
        known = self._groups.setdefault(keys.group(group.id), _Counted(group))
        if known.group != group:
            raise JobConflictError(f"The group {group.id} was begun with another size or webhook.")
        if job_id not in known.jobs and len(known.jobs) >= group.size:
            raise JobConflictError(f"The group {group.id} has all of its {group.size} jobs.")
        known.jobs[job_id] = "open"

    def settle(self, job_id: str, group: GroupMembership | None, outcome: JobOutcome) -> None:
        """Count a job as ended that is open."""
        known = self._groups.get(keys.group(group.id)) if group else None
        if known is None or known.jobs[job_id] != "open":
            return
        known.jobs[job_id] = outcome
        counts = known.counts()
        over = counts["completed"] + counts["failed"] + counts["canceled"]
        known.events.append(
            GroupEvent(
                type="ended" if over >= counts["size"] else "progress",
                at=time.time(),
                job=job_id,
                status=outcome,
                **counts,
            )
        )

    def answer(self, command: Command) -> Any:
        """Answer a command of `asrq_jobs.groups` as Redis would; XREAD does not wait."""
        if command[0] == "XREAD":
            stream, last = str(command[-2]), int(str(command[-1]).partition("-")[0])
            known = self._groups.get(stream.removesuffix(":events"))
            fresh = list(enumerate(known.events, 1))[last:] if known else []
            entries = [
                (f"{number}-0".encode(), {b"event": event.model_dump_json().encode()}) for number, event in fresh
            ]
            return [(stream.encode(), entries)] if entries else None
        known = self._groups.get(str(command[1]))
        held = {name.encode(): value.encode() for name, value in known.fields().items()} if known else {}
        return held if command[0] == "HGETALL" else [held.get(str(name).encode()) for name in command[2:]]


class FakeGroup(Group):
    """A group in memory; without a timeout its end is waited for ten seconds: a test is not to hang."""

    def events(self, *, timeout_s: float | None = None) -> Iterator[GroupEvent]:
        """Yield an event for each of its jobs that has ended, until all have."""
        return super().events(timeout_s=_PATIENCE_S if timeout_s is None else timeout_s)


class FakeAsyncGroup(AsyncGroup):
    """The same for asyncio."""

    def events(self, *, timeout_s: float | None = None) -> AsyncIterator[GroupEvent]:
        """Yield an event for each of its jobs that has ended, until all have."""
        return super().events(timeout_s=_PATIENCE_S if timeout_s is None else timeout_s)
