"""How an attempt ends, and with it perhaps its job: all that is written then, built here and nowhere else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from asrq_jobs.errors import ErrorInfo
from asrq_jobs.events import Event
from asrq_jobs.request import Request
from asrq_jobs.result import Attempt, Result, WorkerInfo
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_jobs.webhook import Delivery, Payload

_TOLD_FOR_S = 60

EndVerdict = Literal["completed", "failed", "canceled", "retry", "front"]


@dataclass(frozen=True)
class Ending:
    """What is to be written; nothing with `verdict` None, because another execution has the job.

    `attempt` is None if there was none, or if it is not to count. A job that ends has a `result`, kept for `ttl_s`, and
    perhaps a `delivery` to its webhook; one that is to run again waits for `delay_s` first. `erases`: once this is
    written, all of the job is to go but the result.
    """

    verdict: EndVerdict | None
    event: Event
    attempt: Attempt | None = None
    result: Result | None = None
    delivery: Delivery | None = None
    ttl_s: int = 0
    delay_s: float = 0.0
    erases: bool = False


def closed(attempt: Attempt, *, at: float, error: ErrorInfo | None = None) -> Attempt:
    """Return an attempt that ended at a time, Unix s."""
    return attempt.model_copy(update={"ended_at": iso(at), "error": error})


def of_job(
    result: Result,
    settings: Settings,
    *,
    at: float,
    request: Request | None = None,
    earlier: Sequence[Attempt] = (),
    attempt: Attempt | None = None,
    queue_wait_s: float | None = None,
    worker: WorkerInfo | None = None,
    created_at: str | None = None,
) -> Ending:
    """Return the end of a job.

    Args:
        result: what came of it, with `status`, `task` and `error`; the rest of this function's arguments completes it.
        settings: how long it is kept, and whether webhooks are delivered.
        at: when it ended, Unix s.
        request: what the client asked for, and wants back with the result; None where it cannot be read.
        earlier: the attempts before the last one, or all if none has just ended.
        attempt: the attempt that ends the job, closed.
        queue_wait_s: how long the job had waited for that attempt.
        worker: the one that made it.
        created_at: ISO 8601 time of submission.
    """
    whole = result.model_copy(
        update={
            "timings": result.timings.model_copy(update={"queue_wait_s": queue_wait_s}),
            "attempts": (*earlier, attempt) if attempt else tuple(earlier),
            "worker": worker,
            "created_at": created_at,
            "started_at": attempt.started_at if attempt else None,
            "completed_at": iso(at),
            "metadata": request.metadata if request else {},
            "tags": request.tags if request else (),
            "keep": request.keep if request else "result",
        }
    )
    event = Event(
        type=whole.status,
        at=at,
        attempt=attempt.number if attempt else None,
        rtfx=whole.timings.rtfx if whole.status == "completed" else None,
        error=whole.error,
        metadata=whole.metadata or None,
        tags=whole.tags or None,
    )
    return Ending(
        whole.status,
        event,
        attempt,
        whole,
        _delivery(whole, request.webhook, at=at) if request and settings.webhook_secret else None,
        ttl_s=settings.failure_ttl_s if whole.status == "failed" else settings.result_ttl_s,
    )


def delivered(ending: Ending) -> Ending:
    """Return the end of a job whose text was delivered: of one that is to keep nothing, only that it has ended is told.

    That is told for a minute, to those who wait for it, and to its webhook with the labels of the request.
    """
    if ending.result is None or ending.result.keep != "nothing":
        return ending
    whole = ending.result
    bare = dict.fromkeys(("text", "segments", "words", "speakers", "doubtful", "audio", "cache_key"))
    result = whole.model_copy(update=bare | {"warnings": (*whole.warnings, "delivered")})
    told = ending.delivery
    if told:
        labels = {"metadata": whole.metadata, "tags": whole.tags}
        told = told.model_copy(update={"payload": told.payload.model_copy(update=labels)})
    return replace(ending, result=result, delivery=told, ttl_s=_TOLD_FOR_S, erases=True)


def of_attempt(
    verdict: Literal["retry", "front"] | None,
    error: ErrorInfo,
    attempt: Attempt,
    *,
    at: float,
    delay_s: float = 0.0,
    counts: bool = True,
) -> Ending:
    """Return the end of an attempt after which its job goes on; `attempt` is closed, and `counts` against the limit."""
    event = Event(type="retrying", at=at, attempt=attempt.number, delay_s=round(delay_s, 3), error=error)
    return Ending(verdict, event, attempt if counts else None, delay_s=delay_s)


def _delivery(result: Result, webhook: str | None, *, at: float) -> Delivery | None:
    """No webhook is sent for a job that was canceled: the client that did that knows."""
    if webhook is None or result.status == "canceled":
        return None
    code = result.error.code if result.error else None
    payload = Payload(id=result.id, status=result.status, code=code, at=at)
    return Delivery(url=webhook, payload=payload)
