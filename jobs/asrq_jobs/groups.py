"""Groups: jobs that belong together, counted by what became of each.

The scripts that submit, end, retry and erase jobs count them in the same step, so the counts are right at any time.
What to ask is decided in calls, as in `asrq_jobs.calls`; `Group` and `AsyncGroup` ask.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from math import inf
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

from asrq_jobs import events, keys
from asrq_jobs.errors import JobNotFoundError, WaitTimeoutError
from asrq_jobs.settings import Settings
from asrq_jobs.steps import Calls, Command, Done, Step, Together, advance, riding_out

JobOutcome = Literal["open", "completed", "failed", "canceled"]
"""What became of a job of a group so far; one that was erased before it had ended counts as canceled."""


class _Counts(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)

    size: int = Field(description="How many jobs the group has.")
    open: int = Field(description="Jobs that were submitted and have not ended.")
    completed: int
    failed: int
    canceled: int = Field(description="Jobs that were canceled, or erased before they had ended.")

    @property
    def over(self) -> int:
        """How many jobs have ended."""
        return self.completed + self.failed + self.canceled


class GroupState(_Counts):
    """`asrq.group/1`: how far a group is. It is also what its webhook is told."""

    schema_: Literal["asrq.group/1"] = Field(default="asrq.group/1", alias="schema")
    id: str
    at: float = Field(description="When one of its jobs ended last, Unix s; 0: none has.")

    @property
    def ended(self) -> bool:
        """Whether all of its jobs have ended. A job that is retried opens it again."""
        return self.over >= self.size

    def to_json(self) -> str:
        """Return the document as compact JSON text."""
        return self.model_dump_json()


class GroupEvent(_Counts):
    """That a job of a group has ended, and how far the group is by then; `ended` with the last one."""

    type: Literal["progress", "ended"]
    at: float
    job: str
    status: JobOutcome


T = TypeVar("T")

Following = Generator[Step | GroupEvent, Any, GroupState]

_BLOCK_S = 2.0
_PAGE = 500
_FIELDS = (":size", ":open", ":completed", ":failed", ":canceled", ":at")


class Group:
    """A group of jobs, as `Client.group` returns it."""

    def __init__(self, group_id: str, settings: Settings, perform: Callable[[Step], Any]) -> None:
        """`perform` does a step on a connection, and returns the answer."""
        self.id = group_id
        self._settings = settings
        self._perform = perform

    def state(self) -> GroupState:
        """Return how far the group is.

        Raises:
            JobNotFoundError: no job of it was submitted, or it has expired.
        """
        return self._run(_state(self.id))

    def jobs(self) -> dict[str, JobOutcome]:
        """Return what became of each of its jobs so far, by id.

        Raises:
            JobNotFoundError: as `state`.
        """
        return self._run(_jobs(self.id))

    def events(self, *, timeout_s: float | None = None) -> Iterator[GroupEvent]:
        """Yield an event for each of its jobs that has ended, waiting for more until all have; rides out outages.

        Of a large group, some 5000 events are kept: one who begins late misses those before them.

        Raises:
            JobNotFoundError: as `state`.
            WaitTimeoutError: `timeout_s` seconds have passed.
        """
        following = _follow(self.id, self._settings, timeout_s=timeout_s)
        step = advance(following)
        while not isinstance(step, Done):
            if isinstance(step, GroupEvent):
                yield step
                step = advance(following)
            else:
                step = advance(following, self._perform(step))

    def wait(self, *, timeout_s: float | None = None) -> GroupState:
        """Wait until all of its jobs have ended, with the errors of `events`."""
        for _ in self.events(timeout_s=timeout_s):
            pass
        return self.state()

    def _run(self, call: Calls[T]) -> T:
        step = advance(call)
        while not isinstance(step, Done):
            step = advance(call, self._perform(step))
        return step.value


class AsyncGroup:
    """The same, as `AsyncClient.group` returns it."""

    def __init__(self, group_id: str, settings: Settings, perform: Callable[[Step], Awaitable[Any]]) -> None:
        """`perform` as for `Group`."""
        self.id = group_id
        self._settings = settings
        self._perform = perform

    async def state(self) -> GroupState:
        """Return how far the group is."""
        return await self._run(_state(self.id))

    async def jobs(self) -> dict[str, JobOutcome]:
        """Return what became of each of its jobs so far, by id."""
        return await self._run(_jobs(self.id))

    async def events(self, *, timeout_s: float | None = None) -> AsyncIterator[GroupEvent]:
        """Yield an event for each of its jobs that has ended, waiting for more until all have; rides out outages."""
        following = _follow(self.id, self._settings, timeout_s=timeout_s)
        step = advance(following)
        while not isinstance(step, Done):
            if isinstance(step, GroupEvent):
                yield step
                step = advance(following)
            else:
                step = advance(following, await self._perform(step))

    async def wait(self, *, timeout_s: float | None = None) -> GroupState:
        """Wait until all of its jobs have ended."""
        async for _ in self.events(timeout_s=timeout_s):
            pass
        return await self.state()

    async def _run(self, call: Calls[T]) -> T:
        step = advance(call)
        while not isinstance(step, Done):
            step = advance(call, await self._perform(step))
        return step.value


def _state(group_id: str) -> Calls[GroupState]:
    """Get how far a group is; `JobNotFoundError` if there is none."""
    return _read(group_id, (yield _state_of(group_id)))


def _jobs(group_id: str) -> Calls[dict[str, JobOutcome]]:
    """Get what became of each job that was submitted; `JobNotFoundError` if there is no such group."""
    raw: dict[bytes, bytes] = yield ("HGETALL", keys.group(group_id))
    if not raw:
        raise _missing(group_id)
    found = {name.decode(): outcome.decode() for name, outcome in raw.items() if not name.startswith(b":")}
    return cast("dict[str, JobOutcome]", found)


def _follow(
    group_id: str,
    settings: Settings,
    *,
    timeout_s: float | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Following:
    """Yield the group's events among the steps until it has ended, and return how it ended; rides out outages."""
    last, deadline = "0", inf if timeout_s is None else now() + timeout_s
    while True:
        left = min(_BLOCK_S, settings.redis_timeout_s / 2, deadline - now())
        if left <= 0:
            raise WaitTimeoutError(f"The group {group_id} did not end within {timeout_s:g} s.")
        block_ms = max(1, int(left * 1000))
        read: Command = ("XREAD", "COUNT", _PAGE, "BLOCK", block_ms, "STREAMS", keys.group_events(group_id), last)
        both = Together([read, _state_of(group_id)])
        answer, raw = yield from riding_out(both, settings.redis_retry_s, deadline=deadline, now=now)
        found = [pair for _, pairs in events.read(answer, GroupEvent) for pair in pairs]
        for entry, event in found:
            last = entry  # the next read begins there
            yield event
        # The counts, not the order of events, say that it is over: a job may have been retried meanwhile.
        known = _read(group_id, raw)
        if known.ended and len(found) < _PAGE and (not found or found[-1][1].type == "ended"):
            return known


def _missing(group_id: str) -> JobNotFoundError:
    """Return the error for a group that is not there."""
    return JobNotFoundError(
        f"No group {group_id}: no job of it was submitted here, or its time to live has passed.",
        hint="A group is kept as long as its jobs.",
    )


def _state_of(group_id: str) -> Command:
    return ("HMGET", keys.group(group_id), *_FIELDS)


def _read(group_id: str, raw: list[bytes | None]) -> GroupState:
    size, open_, completed, failed, canceled, at = raw
    if size is None:
        raise _missing(group_id)
    return GroupState(
        id=group_id,
        size=int(size),
        open=int(open_ or 0),
        completed=int(completed or 0),
        failed=int(failed or 0),
        canceled=int(canceled or 0),
        at=float(at or 0),
    )
