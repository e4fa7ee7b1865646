"""Following many jobs at once over one connection."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from asrq_jobs import keys
from asrq_jobs.client import Client, JobState
from asrq_jobs.connection import queue_errors
from asrq_jobs.errors import AsrqError, JobNotFoundError, WaitTimeoutError
from asrq_jobs.events import Event
from asrq_jobs.result import Result

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
    after: dict[str, bytes | str] = {}
    for job_id in dict.fromkeys(job_ids):
        news = _look(client, job_id)
        yield job_id, news
        if isinstance(news, JobState):
            after[job_id] = "0"
    turn = deque(after)
    next_look = now() + _LOOK_S
    while after:
        left = _LOOK_S if deadline is None else min(_LOOK_S, deadline - now())
        if left <= 0:
            raise WaitTimeoutError(f"{_count(len(after))} not ended within {timeout_s:g} s.", hint=commands_for(after))
        for job_id, entries in _read(client, after, min(left, client.settings.redis_timeout_s / 2)):
            events = [Event.from_entry(fields) for _, fields in entries]
            after[job_id] = entries[-1][0]
            for event in events:
                yield job_id, event
            if events[-1].terminal:
                del after[job_id]
                yield job_id, _ended(client, job_id)
        if now() < next_look:
            continue
        next_look = now() + _LOOK_S
        for _ in range(min(_LOOKS_AT, len(turn))):
            job_id = turn.popleft()
            if job_id not in after:
                continue
            news = _look(client, job_id)
            yield job_id, news
            if isinstance(news, JobState):
                turn.append(job_id)
            else:
                del after[job_id]


def _look(client: Client, job_id: str) -> Result | JobState | AsrqError:
    result = client.result(job_id)  # there is one if and only if the job has ended
    if result:
        return result
    try:
        return client.state(job_id)
    except JobNotFoundError as error:
        return error


def _ended(client: Client, job_id: str) -> Result | AsrqError:
    result = client.result(job_id)
    return result or JobNotFoundError(f"The result of job {job_id} has expired.", hint="Submit the audio again.")


def _read(
    client: Client, after: dict[str, bytes | str], block_s: float
) -> list[tuple[str, list[tuple[bytes, dict[bytes, Any]]]]]:
    """Wait for entries of any of the streams; without a count, so that a terminal event that comes last is last."""
    by_stream = {keys.events(job_id): job_id for job_id in after}
    wanted: dict[Any, Any] = {keys.events(job_id): entry for job_id, entry in after.items()}
    with queue_errors(client.settings):
        answer = cast("Any", client.redis.xread(wanted, block=max(1, int(block_s * 1000))))
    if isinstance(answer, dict):  # RESP3
        answer = [(stream, chunks[0]) for stream, chunks in answer.items()]
    return [(by_stream[stream.decode()], entries) for stream, entries in answer or []]


def _count(jobs: int) -> str:
    return "One job has" if jobs == 1 else f"{jobs} jobs have"


def commands_for(job_ids: Iterable[str]) -> str:
    """Return what to type to wait for these jobs again, or to stop them."""
    ids = list(job_ids)
    named = " ".join(ids) if len(ids) <= 4 else "ID… (`asrq list` shows them)"
    return f"Wait again: asrq wait {named}. Stop: asrq cancel {'ID…' if len(ids) > 1 else named}."
