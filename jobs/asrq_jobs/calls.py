"""The protocol of docs/reference/protocol.md without a connection: what to ask Redis, and what its answers mean.

Calls as in `asrq_jobs.steps`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, cast

from asrq_jobs import events, keys, rq
from asrq_jobs.errors import (
    AsrqError,
    CanceledError,
    ErrorInfo,
    JobStateError,
    QueueError,
    WaitTimeoutError,
)
from asrq_jobs.events import Entry, Event
from asrq_jobs.result import Result
from asrq_jobs.rq import FROM_RQ, JobHash, Labels
from asrq_jobs.settings import Settings
from asrq_jobs.states import JobState, missing, without_result
from asrq_jobs.steps import Calls, Command, Following, Script, Together, riding_out, server_time
from asrq_jobs.timestamp import iso

_BLOCK_S = 2.0
_NEAR = 1000  # places from either end of a list that are told exactly: a longer search would take Redis milliseconds


def state(job_id: str) -> Calls[JobState]:
    """Get the state of a job; `JobNotFoundError` if there is none."""
    raw: dict[bytes, bytes] = yield ("HGETALL", keys.job(job_id))
    outcome = yield from result(job_id)
    if not raw:
        if outcome is None:
            raise missing(job_id)
        return JobState(
            id=job_id,
            status=outcome.status,
            attempt=len(outcome.attempts),
            error=outcome.error,
            metadata=outcome.metadata,
            tags=outcome.tags,
        )
    job = JobHash.read(raw)
    place = (yield from _place(job_id, job.lane, job.waits_for)) if job.status == rq.QUEUED else _Place()
    attempts: int = yield ("LLEN", keys.attempts(job_id))
    labels = job.labels
    return JobState(
        id=job_id,
        status=FROM_RQ.get(job.status or "", "queued"),
        lane=job.lane,
        position=place.number,
        at_least=place.at_least,
        waits_for=place.waits_for,
        attempt=attempts,
        description=job.description,
        worker=job.worker,
        enqueued_at=job.enqueued_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        error=outcome.error if outcome else None,
        metadata=labels.metadata,
        tags=labels.tags,
    )


@dataclass(frozen=True)
class _Place:
    """A place among those that wait, as `JobState` has it."""

    number: int | None = None
    at_least: bool = False
    waits_for: str | None = None


def _place(job_id: str, lane: str, need: str | None) -> Calls[_Place]:
    """Look for a waiting job near both ends of its lane and of the list of those that wait for the same, no further."""
    lists = [(keys.queue(lane), None), *([(keys.waiting(lane, need), need)] if need else [])]
    for key, apart in lists:
        for end in (1, -1):
            index: int | None = yield ("LPOS", key, job_id, "RANK", end, "MAXLEN", _NEAR)
            if index is not None:
                return _Place(index + 1, waits_for=apart)
    for key, apart in lists:
        length: int = yield ("LLEN", key)
        if length > 2 * _NEAR:
            return _Place(_NEAR + 1, at_least=True, waits_for=apart)
    return _Place()


def result(job_id: str) -> Calls[Result | None]:
    """Get the result document, None while there is none."""
    text: bytes | None = yield ("GET", keys.result(job_id))
    return _parsed(job_id, text) if text else None


def fetch(job_id: str, settings: Settings) -> Calls[Result | None]:
    """Get the result document, None while there is none; and erase the job if it is to keep nothing."""
    found = yield from result(job_id)
    if found:
        yield from _fetched(found, settings)
    return found


def _fetched(found: Result, settings: Settings) -> Calls[None]:
    """Erase a job whose result a client now has, if it is to keep nothing. One whose text could not be delivered stays.

    An outage of up to `redis_retry_s` is ridden out. After that the job stays until it expires: to raise an error would
    lose the text, if it was only the answer that did not arrive.
    """
    if found.erased_when_fetched:
        try:
            origin = yield from riding_out(("HGET", keys.job(found.id), rq.ORIGIN), settings.redis_retry_s)
            yield from riding_out(erasing(found.id, _lane(origin)), settings.redis_retry_s)
        except QueueError as error:
            if not error.retryable:
                raise


def follow(
    job_id: str,
    settings: Settings,
    *,
    after: str = "0",
    timeout_s: float | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Following[Result]:
    """Yield the job's events, each with its id, among the steps until it has ended, and return its result.

    An outage of up to `redis_retry_s` is ridden out; what follows it goes on after the last event seen.
    """
    last = after
    deadline = inf if timeout_s is None else now() + timeout_s
    # Below the socket timeout, so that a blocking read is never mistaken for an outage.
    longest_s = min(_BLOCK_S, settings.redis_timeout_s / 2)
    result_of: Command = ("GET", keys.result(job_id))

    def patiently(step: Command | Together) -> Calls[Any]:
        return riding_out(step, settings.redis_retry_s, deadline=deadline, now=now)

    while True:
        left = min(longest_s, deadline - now())
        if left <= 0:
            raise WaitTimeoutError(f"Job {job_id} did not end within {timeout_s:g} s.")
        block_ms = max(1, int(left * 1000))
        read: Command = ("XREAD", "COUNT", 500, "BLOCK", block_ms, "STREAMS", keys.events(job_id), last)
        # The end takes one round trip: it is written in one step, so that the result is there with its event.
        answer, text = yield from patiently(Together([read, result_of]))
        found = [pair for _, pairs in events.read(answer, Event) for pair in pairs]
        ended = not found
        for last, event in found:  # the next read begins there
            ended = ended or event.terminal
            yield Entry(last, event)
        if not ended:
            continue
        error: AsrqError | None = None
        if not found:  # before the result is looked for: they are written in one step, so that one is there by then
            status, worker = yield from patiently(("HMGET", keys.job(job_id), rq.STATUS, rq.WORKER))
            error = without_result(job_id, status and FROM_RQ.get(status.decode(), "queued"), held=bool(worker))
            text = yield from patiently(result_of)
        # The result, not the order of events, says that it is over: a paused worker may still add one, and a
        # job retried by hand has lost its result.
        if text:
            return _parsed(job_id, text)
        if error:
            raise error


def wait(job_id: str, settings: Settings, *, timeout_s: float | None = None) -> Following[Result]:
    """Follow a job until it has ended, and fetch its result."""
    found = yield from follow(job_id, settings, timeout_s=timeout_s)
    yield from _fetched(found, settings)
    return found


def cancel(job_id: str, ttl_s: int) -> Calls[Literal["canceled", "requested"]]:
    """Cancel a job; its result and events are kept for `ttl_s`."""
    lane = yield from lane_of(job_id)
    at = yield from server_time()
    data: bytes | None = yield ("HGET", keys.job(job_id), rq.DATA)
    labels = Labels.of(data or b"")
    outcome = canceled(job_id, completed_at=iso(at)).model_copy(update=labels.model_dump())
    event = Event(type="canceled", at=at, metadata=labels.metadata or None, tags=labels.tags or None)
    args: list[str | int | bytes] = [job_id, outcome.to_json(), event.to_json(), ttl_s, int(at) + ttl_s]
    raw: bytes = yield Script("cancel", _keys(job_id, lane, "scheduled", keys.STATS), args)
    verdict = raw.decode()
    if verdict == "missing":
        raise missing(job_id)
    if verdict == "ended":
        raise JobStateError(f"Job {job_id} has already ended.")
    return cast("Literal['canceled', 'requested']", verdict)


def canceled(job_id: str = "", completed_at: str | None = None) -> Result:
    """Return the result of a job that was canceled before a worker had it.

    Without an id it is what workers keep for clients who may not write results (`keys.CANCELED`).
    """
    error = ErrorInfo(code=CanceledError.code, message="Canceled.", retryable=False, stage="queue")
    return Result.from_error(error, job_id).model_copy(update={"completed_at": completed_at})


def _parsed(job_id: str, text: bytes) -> Result:
    found = Result.from_json(text)
    return found if found.id else found.model_copy(update={"id": job_id})


def retry(job_id: str) -> Calls[None]:
    """Put a failed or canceled job back into its lane."""
    lane = yield from lane_of(job_id)
    at = yield from server_time()
    event = Event(type="queued", at=at, lane=lane)
    raw: bytes = yield Script("retry", _keys(job_id, lane, "failed"), [job_id, event.to_json(), iso(at)])
    verdict = raw.decode()
    if verdict == "missing":
        raise missing(job_id)
    if verdict != "queued":
        raise JobStateError(
            f"Job {job_id} is {FROM_RQ.get(verdict, verdict)}; only a failed or canceled job can be retried."
        )


def erase(job_id: str) -> Calls[None]:
    """Remove all that is stored of a job, whatever its state, and its upload unless another job may need it."""
    lane = yield from lane_of(job_id)
    verdict: bytes = yield erasing(job_id, lane)
    if verdict != b"erased":
        raise missing(job_id)


def erasing(job_id: str, lane: str) -> Script:
    """Return the step that removes all that is stored of a job."""
    named = [
        keys.job(job_id),
        keys.queue(lane),
        keys.intermediate(lane),
        *(keys.registry(kind, lane) for kind in keys.REGISTRIES),
        keys.LEASES,
        keys.result(job_id),
        keys.events(job_id),
        keys.attempts(job_id),
        keys.chunks(job_id),
        keys.cancel(job_id),
        keys.rq_results(job_id),
        keys.rq_executions(job_id),
    ]
    return Script("erase", named, [job_id])


def lane_of(job_id: str) -> Calls[str]:
    """Get the lane of a job; batch if there is no such job."""
    origin: bytes | None = yield ("HGET", keys.job(job_id), rq.ORIGIN)
    return _lane(origin)


def _lane(origin: bytes | None) -> str:
    return keys.lane_of(origin.decode()) if origin else "batch"


def _keys(job_id: str, lane: str, registry: keys.Registry, *counters: str) -> list[str]:
    """Name what cancel.lua and retry.lua work on."""
    return [
        keys.job(job_id),
        keys.queue(lane),
        keys.registry(registry, lane),
        keys.registry("canceled", lane),
        keys.cancel(job_id),
        keys.events(job_id),
        keys.result(job_id),
        *counters,
        keys.attempts(job_id),
        keys.chunks(job_id),
    ]
