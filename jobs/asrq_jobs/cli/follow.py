"""Following many jobs at once over one connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from asrq_jobs import events, keys
from asrq_jobs.client import Client
from asrq_jobs.connection import queue_errors
from asrq_jobs.errors import AsrqError, JobNotFoundError, WaitTimeoutError
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_jobs.states import JobState, without_result

_LOOK_S = 1.0
_LOOKS_AT = 20  # jobs whose state is read at one look, in turn: enough for a screen, little for a thousand jobs

News = Event | JobState | Result | AsrqError


def follow(
    client: Client,
    job_ids: Sequence[str],
    *,
    timeout_s: float | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[str, News]]:
    """Yield what happens to the jobs until each has ended.

    For each job come its events, now and then its state, and last its result, or the error that there is no such
    job.

    Raises:
        WaitTimeoutError: `timeout_s` seconds have passed.
        QueueError: Redis cannot be reached or refuses.
    """
    deadline = None if timeout_s is None else now() + timeout_s
    after: dict[str, str] = dict.fromkeys(job_ids, "0")  # the last entry seen of each that has not ended
    found = _looks(client, after, len(after))
    next_look = now() + _LOOK_S
    while True:
        for job_id, news in found:
            yield job_id, news
            if isinstance(news, Result | AsrqError):
                del after[job_id]
        if not after:
            return
        left = _LOOK_S if deadline is None else min(_LOOK_S, deadline - now())
        if left <= 0:
            raise WaitTimeoutError(f"{_count(len(after))} not ended within {timeout_s:g} s.", hint=commands_for(after))
        if now() < next_look:
            found = _entries(client, after, min(left, client.settings.redis_timeout_s / 2))
        else:
            found = _looks(client, after, _LOOKS_AT)
            next_look = now() + _LOOK_S


def _entries(client: Client, after: dict[str, str], block_s: float) -> Iterator[tuple[str, News]]:
    """Wait for new entries and yield them as events; what follows a terminal one is the result."""
    for job_id, entries in _read(client, after, block_s):
        for after[job_id], event in entries:
            yield job_id, event
        if entries[-1][1].terminal:
            yield job_id, _look(client, job_id)  # its state, if it was retried by hand in the meantime


def _looks(client: Client, after: dict[str, str], most: int) -> Iterator[tuple[str, News]]:
    """Look at some jobs, each time at others."""
    for job_id in list(islice(after, most)):
        after[job_id] = after.pop(job_id)
        yield job_id, _look(client, job_id)


def _look(client: Client, job_id: str) -> Result | JobState | AsrqError:
    """Return the result of a job that has ended, the state of one that has not, or why there is neither."""
    result = client.result(job_id)
    if result:
        return result
    try:
        state = client.state(job_id)
    except JobNotFoundError as error:
        return error
    lost = without_result(job_id, state.status, held=state.worker is not None)
    if lost is None:
        return state
    return client.result(job_id) or lost  # it may have ended between the two looks


def _read(client: Client, after: dict[str, str], block_s: float) -> list[tuple[str, list[tuple[str, Event]]]]:
    """Wait for entries of any of the streams; without a count, so that a terminal event that comes last is last."""
    by_stream = {keys.events(job_id): job_id for job_id in after}
    wanted: dict[Any, Any] = {keys.events(job_id): entry for job_id, entry in after.items()}
    with queue_errors(client.settings):
        answer = client.redis.xread(wanted, block=max(1, int(block_s * 1000)))
    return [(by_stream[stream], entries) for stream, entries in events.read(answer)]


def _count(jobs: int) -> str:
    return "One job has" if jobs == 1 else f"{jobs} jobs have"


def commands_for(job_ids: Iterable[str]) -> str:
    """Return what to type to wait for these jobs again, or to stop them."""
    ids = list(job_ids)
    named = " ".join(ids) if len(ids) <= 4 else "ID… (`asrq list` shows them)"
    return f"Wait again: asrq wait {named}. Stop: asrq cancel {'ID…' if len(ids) > 1 else named}."
