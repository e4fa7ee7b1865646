"""The scripts of workers, each as one function: what it is given, by name, and what it answers.

Arguments travel as one JSON document, which `prelude.lua`, the beginning of each script, reads. What they mean is in
the header of the script. Scripts of clients get their arguments by position, as the protocol says: `asrq_jobs` has a
function for each of those, which makes the step.

All raise `redis.exceptions.RedisError` where Redis does not answer, or refuses.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple, cast

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from asrq_jobs import executing, keys, performing, scripts
from asrq_jobs.calls import erasing
from asrq_jobs.errors import InvalidRequestError
from asrq_jobs.live import appending
from asrq_jobs.request import Audio
from asrq_jobs.scripts import ScriptName
from asrq_jobs.steps import Command
from asrq_jobs.webhook import Delivery
from asrq_worker.job.ending import Ending

# RQ forgets an execution after this; far beyond any job, because leases and not RQ notice a death.
_HORIZON_S = 3 * 86_400

BeginVerdict = Literal["started", "taken", "gone", "done"]
WebhookCounter = Literal["webhooks_delivered", "webhooks_given_up"]


class _BeginAnswer(NamedTuple):
    """What begin.lua answers: `attempts` as JSON, `earlier` of which do not count; `now` is Redis's, Unix s; `kept`:
    earlier ones have finished chunks."""

    verdict: BeginVerdict
    attempts: Sequence[bytes]
    canceled: bool
    earlier: int
    now: float
    kept: bool


def dequeue(redis: Redis, lane: str, *, within_s: float) -> tuple[bytes | None, dict[bytes, bytes] | None]:
    """Dequeue an id as RQ does, waiting for one so long; returns it, and what is stored of its job, or None twice.

    The latter is asked for in the same round trip, and None also where others dequeue at the same time.
    """
    move: Command = ("BLMOVE", keys.queue(lane), keys.intermediate(lane), "LEFT", "RIGHT", str(within_s))
    job_id, newest = performing.together(redis, [move, scripts.known("newest", executing.document({"lane": lane}))])
    if isinstance(job_id, RedisError):
        raise job_id
    if isinstance(newest, NoScriptError):
        with suppress(RedisError):  # what was dequeued is not to be lost
            redis.script_load(scripts.source("newest"))
    if isinstance(newest, RedisError):
        return job_id, None
    for found, fields in newest:
        if found == job_id:
            return job_id, dict(zip(fields[::2], fields[1::2], strict=True))
    return job_id, None


def begin(
    redis: Redis, job_id: str, execution: str, lane: str, worker: str, *, lease_s: float, first: Sequence[Command] = ()
) -> _BeginAnswer:
    """Start an execution of a job that was dequeued, and take its lease; send `first`, in the same round trip,
    commands whose answers do not matter."""
    given = executing.begin(job_id, execution, lane, worker, lease_s=lease_s, horizon_s=_HORIZON_S)
    answer = _call(redis, "begin", first=first, **given)
    verdict, attempts, canceled, earlier, now, kept = cast(
        "tuple[bytes, Sequence[bytes], int, int, bytes, int]", answer
    )
    told = cast("BeginVerdict", verdict.decode())
    return _BeginAnswer(told, attempts, bool(canceled), earlier, float(now), bool(kept))


def end(
    redis: Redis,
    job_id: str,
    execution: str,
    lane: str,
    worker: str,
    ending: Ending,
    *,
    audio: Audio,
    blob_ttl_s: int,
    events: Sequence[str],
    lapsed_by: float | None,
) -> Literal["ended", "fenced", "to be canceled"]:
    """Close the job of an execution, or give it back."""
    assert ending.verdict is not None  # noqa: S101  # one that is another's is not ended
    given = executing.end(
        job_id,
        lane,
        ending.verdict,
        execution=execution,
        worker=worker,
        lapsed_by=lapsed_by,
        attempt=ending.attempt,
        events=events,
        delay_s=ending.delay_s,
        **_written(ending, audio, blob_ttl_s),
    )
    answer: int = _call(redis, "end_execution", **given)
    return "to be canceled" if answer < 0 else "ended" if answer else "fenced"


def expire(redis: Redis, job_id: str, lane: str, ending: Ending, *, before: str, audio: Audio, blob_ttl_s: int) -> bool:
    """Close a job that still waits and was enqueued `before` (ISO 8601 as RQ writes it); False if it does not."""
    given = executing.end(job_id, lane, "expired", before=before, **_written(ending, audio, blob_ttl_s))
    return bool(_call(redis, "end_execution", **given))


def _written(ending: Ending, audio: Audio, blob_ttl_s: int) -> dict[str, Any]:
    return {
        "event": ending.event.to_json(),
        "result": ending.result,
        "delivery": ending.delivery.model_dump_json() if ending.delivery else None,
        "ttl_s": ending.ttl_s,
        "audio": audio,
        "blob_ttl_s": max(ending.ttl_s, blob_ttl_s),
    }


def note(
    redis: Redis,
    job_id: str,
    lease: str,
    events: Sequence[str],
    *,
    chunk: str | None,
    transcript: str | None,
    ttl_s: int,
    instead_of: str | None = None,
) -> str | None:
    """Add events and perhaps a finished chunk to the trace of a job, `instead_of` an earlier event.

    Returns the id of the last event; None if the execution does not hold the job.
    """
    given = executing.note(
        job_id, lease, events, ttl_s=ttl_s, chunk=chunk, transcript=transcript, instead_of=instead_of
    )
    answer = _call(redis, "note", **given)
    return None if answer is None else cast("bytes", answer).decode()


def erase(redis: Redis, job_id: str, lane: str, ending: Ending) -> None:
    """Remove all that is stored of a job that has just ended, but for the result of its end."""
    assert ending.result is not None  # noqa: S101  # a job that has ended has one
    step = erasing(job_id, lane)
    pipe = redis.pipeline(transaction=True)
    pipe.eval(scripts.source(step.name), len(step.keys), *step.keys, *step.args)  # by digest, redis-py asks too much
    pipe.set(keys.result(job_id), ending.result.to_json(), ex=ending.ttl_s)
    pipe.execute()


def interrupt(redis: Redis, job_id: str, number: int, *, silent_s: float) -> bool:
    """Append an end mark to the sound of a live job, as the frame of that number, if the last frame came so long
    ago; False if frames before it are missing."""
    step = appending(job_id, number, "interrupted", str(silent_s))
    answer = json.loads(scripts.load(redis, step.name)(step.keys, step.args))
    return bool(answer.get("error", {}).get("code") != InvalidRequestError.code)


def renew(redis: Redis, held: Iterable[tuple[str, str, bool]], *, lease_s: float) -> list[tuple[bool, bool]]:
    """Renew leases; each is given by its job, its name and whether it is only to be looked at if False.

    Returns for each whether it is held, and whether its job is to be canceled.
    """
    leases = [{"id": job_id, "lease": lease, "moving": moving} for job_id, lease, moving in held]
    answer = cast("Sequence[tuple[int, int]]", _call(redis, "renew", leases=leases, lease_s=lease_s))
    return [(bool(holds), bool(canceled)) for holds, canceled in answer]


def reuse(
    redis: Redis, key: str, lease: str, *, ttl_s: int, useless: str | None
) -> tuple[Literal["busy", "ended", "ours"], str | None]:
    """Ask who makes or has made the text with a `cache_key`; returns that with the lease of that execution."""
    answer = _call(redis, "reuse", key=key, lease=lease, ttl_s=ttl_s, useless=useless)
    verdict, other = cast("tuple[bytes, bytes]", answer)
    return cast("Literal['busy', 'ended', 'ours']", verdict.decode()), _text(other) or None


def take(redis: Redis, lane: str, needs: Sequence[str]) -> bytes | None:
    """Dequeue what was enqueued first in a lane and in the lists of jobs that wait for one of `needs`."""
    return cast("bytes | None", _call(redis, "take", lane=lane, needs=needs))


def pass_on(redis: Redis, job_id: str, lane: str, *, need: str, event: str) -> Literal["passed", "dropped", "none"]:
    """Put an id that was dequeued to those that wait for a worker that can do what the job needs."""
    answer: bytes = _call(redis, "pass_on", id=job_id, lane=lane, need=need, event=event)
    return cast("Literal['passed', 'dropped', 'none']", answer.decode())


def recover_dequeued(redis: Redis, job_id: str, lane: str) -> Literal["requeued", "dropped", "none"]:
    """Put an id that was dequeued and not begun back at the front of its lane."""
    answer: bytes = _call(redis, "recover_dequeued", id=job_id, lane=lane)
    return cast("Literal['requeued', 'dropped', 'none']", answer.decode())


def enqueue_due(redis: Redis, job_id: str, lane: str, *, by: float) -> bool:
    """Move a retry that is due by a time, Unix s, to its lane."""
    return bool(_call(redis, "enqueue_due", id=job_id, lane=lane, by=by))


def reconcile(redis: Redis, job_id: str, lane: str, *, need: str | None, ttl_s: int, now: float) -> bool:
    """Make the places and lifetimes of a job agree with its status; False if they did."""
    spare = uuid.uuid4().hex
    return bool(_call(redis, "reconcile", id=job_id, lane=lane, need=need, ttl_s=ttl_s, now=now, execution=spare))


def count(redis: Redis, group: str, job_id: str, *, ttl_s: int) -> bool:
    """Count a job of a group that has ended, or is no more, and that no script has counted; False if there is none."""
    return bool(_call(redis, "count", group=group, id=job_id, ttl_s=ttl_s))


def tell_group(redis: Redis, group: str, *, tells: bool) -> bool:
    """Leave the end of a group for the courier, if webhooks are delivered; False if it is not to be told."""
    return bool(_call(redis, "tell_group", group=group, tells=tells))


def claim_webhook(redis: Redis, *, hidden_s: float) -> tuple[bytes, float] | None:
    """Take the delivery that is due longest, as it is stored, and the time, Unix s; None if none is due."""
    answer = cast("tuple[bytes, bytes] | None", _call(redis, "claim_webhook", hidden_s=hidden_s))
    return (answer[0], float(answer[1])) if answer else None


def settle_webhook(
    redis: Redis,
    claimed: bytes,
    *,
    counter: WebhookCounter | None,
    tried: Delivery,
    wait_s: float,
) -> bool:
    """Write down how a try went: it is over and counted, or to be tried again; False if that was done before."""
    answer = _call(
        redis,
        "settle_webhook",
        claimed=_text(claimed),
        counter=counter,
        tried=tried.model_dump_json(),
        wait_s=wait_s,
    )
    return bool(answer)


def _call(redis: Redis, name: ScriptName, *, first: Sequence[Command] = (), **given: Any) -> Any:
    return performing.run(redis, name, executing.document(given), first=first)


def _text(raw: bytes) -> str:
    """What goes back to Redis as it came, whatever its bytes (see `connect`)."""
    return raw.decode(errors="surrogateescape")
