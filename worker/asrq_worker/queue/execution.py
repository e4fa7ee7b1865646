"""One execution of a job, as Redis sees it: begun through one script, ended through another, fenced by its lease."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import ValidationError
from redis import Redis
from redis.client import Pipeline

from asrq_jobs import keys, scripts
from asrq_jobs.errors import CanceledError, MalformedJobError
from asrq_jobs.request import Audio, BlobAudio
from asrq_jobs.result import Attempt, Result
from asrq_worker.job.ending import Ending, EndVerdict
from asrq_worker.queue import clock

# RQ forgets an execution after this; far beyond any job, because leases and not RQ notice a death.
_HORIZON_S = 3 * 86_400
_CANCEL = -1  # what end_execution.lua answers instead of giving back a job that is to be canceled

_DESTINATION: dict[EndVerdict, str] = {
    "completed": "finished",
    "failed": "failed",
    "canceled": "canceled",
    "retry": "scheduled",
}


@dataclass(frozen=True)
class Begun:
    """How `Execution.begin` went. `attempts` ends with the one begun; `earlier` of them do not count against the limit.

    `now` tells the time of Redis while the job runs, Unix s.
    """

    verdict: Literal["started", "taken", "gone", "done"]
    attempts: tuple[Attempt, ...]
    canceled: bool
    earlier: int
    now: Callable[[], float]


@dataclass(frozen=True)
class Execution:
    """Names one execution; carries no state, Redis does."""

    job_id: str
    execution_id: str
    lane: str
    worker: str

    @property
    def lease(self) -> str:
        """Member of `asrq:leases`."""
        return f"{self.lane}/{self.job_id}/{self.execution_id}"

    @classmethod
    def of_lease(cls, lease: str, worker: str) -> Execution:
        """Return the execution that a member of `asrq:leases` names.

        Raises:
            ValueError: it names none.
        """
        lane, job_id, execution_id = lease.split("/")
        return cls(job_id, execution_id, lane, worker)

    def begin(self, redis: Redis, *, lease_s: float) -> Begun:
        """Start the job, if it still waits, and take its lease.

        Raises:
            MalformedJobError: it has begun, and its history was written by hand.
        """
        answer = scripts.load(redis, "begin")(
            [
                keys.job(self.job_id),
                keys.intermediate(self.lane),
                keys.registry("wip", self.lane),
                keys.LEASES,
                keys.attempts(self.job_id),
                keys.events(self.job_id),
                keys.rq_execution(self.job_id, self.execution_id),
                keys.rq_executions(self.job_id),
                keys.rq_worker_executions(self.worker),
                keys.result(self.job_id),
                keys.registry("finished", self.lane),
                keys.cancel(self.job_id),
            ],
            [self.job_id, self.execution_id, self.lane, self.worker, lease_s, _HORIZON_S],
        )
        verdict, attempts, canceled, earlier, now = cast("tuple[bytes, Sequence[bytes], int, int, bytes]", answer)
        return Begun(
            verdict=cast("Literal['started', 'taken', 'gone', 'done']", verdict.decode()),
            attempts=_history(self.job_id, attempts),
            canceled=bool(canceled),
            earlier=earlier,
            now=clock.from_then_on(float(now)),
        )

    def end(
        self, redis: Redis, ending: Ending, *, audio: Audio, blob_ttl_s: int, lapsed_by: float | None = None
    ) -> bool:
        """Close the job, or give it back; False if the fence refused: another execution has the job, or it has ended.

        Args:
            redis: connection.
            ending: what is to be written; it has a verdict.
            audio: what the job names; an upload is kept longer if the job may run again.
            blob_ttl_s: how much longer, at least.
            lapsed_by: None for the holder of the lease; of the reaper the time, by Redis, by which it must have lapsed.

        Raises:
            CanceledError: it was to be given back, and a client wants it canceled: nothing has changed.
        """
        assert ending.verdict is not None  # noqa: S101  # callers write nothing without one
        field, value = rq_result(ending.result)
        destination = _DESTINATION.get(ending.verdict)
        answer = scripts.load(redis, "end_execution")(
            [
                keys.job(self.job_id),
                keys.LEASES,
                keys.registry("wip", self.lane),
                keys.rq_execution(self.job_id, self.execution_id),
                keys.rq_executions(self.job_id),
                keys.rq_worker_executions(self.worker),
                keys.attempts(self.job_id),
                keys.events(self.job_id),
                keys.result(self.job_id),
                keys.rq_results(self.job_id),
                keys.chunks(self.job_id),
                keys.cancel(self.job_id),
                keys.STATS,
                keys.blob(audio.sha256 if isinstance(audio, BlobAudio) else "none"),
                keys.registry(destination, self.lane) if destination else keys.queue(self.lane),
                keys.WEBHOOKS,
            ],
            [
                self.job_id,
                self.execution_id,
                self.lane,
                ending.verdict,
                ending.delay_s,
                ending.ttl_s,
                ending.attempt.model_dump_json() if ending.attempt else "",
                ending.event.to_json(),
                ending.result.to_json() if ending.result else "",
                field,
                value,
                self.worker,
                "" if lapsed_by is None else f"{lapsed_by:.6f}",
                max(ending.ttl_s, blob_ttl_s),
                ending.delivery.model_dump_json() if ending.delivery else "",
            ],
        )
        if answer == _CANCEL:
            raise CanceledError("Canceled before its next attempt.")
        return bool(answer)


def forget(pipe: Pipeline, execution: Execution) -> None:
    """Queue the removal of an execution that cannot be ended: of a job whose hash is gone, or not ours."""
    job_id, execution_id = execution.job_id, execution.execution_id
    pipe.zrem(keys.LEASES, execution.lease)
    pipe.zrem(keys.registry("wip", execution.lane), f"{job_id}:{execution_id}")
    pipe.delete(keys.rq_execution(job_id, execution_id))
    pipe.zrem(keys.rq_executions(job_id), execution_id)
    pipe.srem(keys.rq_worker_executions(execution.worker), f"{job_id}:{execution_id}")


def attempts_of(redis: Redis, job_id: str) -> tuple[Attempt, ...]:
    """Return the attempts at a job, oldest first.

    Raises:
        MalformedJobError: what is there was written by hand.
    """
    return _history(job_id, cast("list[bytes]", redis.lrange(keys.attempts(job_id), 0, -1)))


def _history(job_id: str, listed: Sequence[bytes]) -> tuple[Attempt, ...]:
    try:
        return tuple(Attempt.model_validate_json(entry) for entry in listed)
    except ValidationError:
        raise MalformedJobError(f"The attempts at the job {job_id} cannot be read.") from None


def give_back(redis: Redis, job_id: str, lane: str) -> bool:
    """Put an id that was dequeued and not begun back at the front of its lane; False if there was nothing to do."""
    recover = scripts.load(redis, "recover_dequeued")
    answer = recover([keys.job(job_id), keys.intermediate(lane), keys.queue(lane)], [job_id])
    return cast("bytes", answer) == b"requeued"


def rq_result(result: Result | None) -> tuple[str, str]:
    """What RQ's own result entry holds: a pointer to ours and what a dashboard should show of it.

    Encodings as in rq/results.py: base64 of JSON, and base64 of zlib for exceptions.
    """
    if result is None:
        return "", ""
    if result.error is not None:
        line = f"{result.error.code}: {result.error.message}"
        return "exc_string", base64.b64encode(zlib.compress(line.encode())).decode()
    pointer = {
        "result": keys.result(result.id),
        "language": result.language,
        "audio_s": result.duration,
        "rtfx": result.timings.rtfx,
        "backend": result.backend,
        "model": result.model,
    }
    return "return_value", base64.b64encode(json.dumps(pointer).encode()).decode()
