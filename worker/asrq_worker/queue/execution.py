"""One execution of a job, as Redis sees it: begun through one script, ended through another, fenced by its lease."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError
from redis import Redis
from redis.client import Pipeline

from asrq_jobs import keys
from asrq_jobs.errors import CanceledError, MalformedJobError
from asrq_jobs.request import Audio
from asrq_jobs.result import Attempt
from asrq_jobs.steps import Command
from asrq_worker.job.ending import Ending
from asrq_worker.queue import calls, clock
from asrq_worker.queue.calls import BeginVerdict


@dataclass(frozen=True)
class Beginning:
    """How `Execution.begin` went. `attempts` ends with the one begun; `earlier` of them do not count against the limit.

    `now` tells the time of Redis while the job runs, Unix s. `kept`: earlier attempts have finished chunks.
    """

    verdict: BeginVerdict
    attempts: tuple[Attempt, ...]
    canceled: bool
    earlier: int
    now: Callable[[], float]
    kept: bool


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

    def begin(self, redis: Redis, *, lease_s: float, first: Sequence[Command] = ()) -> Beginning:
        """Start the job, if it still waits, and take its lease; send commands `first` (see `calls.begin`).

        Raises:
            MalformedJobError: it has begun, and its history was written by hand.
        """
        answer = calls.begin(
            redis, self.job_id, self.execution_id, self.lane, self.worker, lease_s=lease_s, first=first
        )
        history = _history(self.job_id, answer.attempts)
        now = clock.from_then_on(answer.now)
        return Beginning(answer.verdict, history, answer.canceled, answer.earlier, now, answer.kept)

    def end(
        self,
        redis: Redis,
        ending: Ending,
        *,
        audio: Audio,
        blob_ttl_s: int,
        events: Sequence[str] = (),
        lapsed_by: float | None = None,
    ) -> bool:
        """Close the job, or give it back; False if the fence refused: another execution has the job, or it has ended.

        Args:
            redis: connection.
            ending: what is to be written; it has a verdict.
            audio: what the job names; an upload is kept longer if the job may run again.
            blob_ttl_s: how much longer, at least.
            events: JSON of those that come before that of the end.
            lapsed_by: None for the holder of the lease; of the reaper the time, by Redis, by which it must have lapsed.

        Raises:
            CanceledError: it was to be given back, and a client wants it canceled: nothing has changed.
        """
        kept = calls.end(
            redis,
            self.job_id,
            self.execution_id,
            self.lane,
            self.worker,
            ending,
            audio=audio,
            blob_ttl_s=blob_ttl_s,
            events=events,
            lapsed_by=lapsed_by,
        )
        if kept == "to be canceled":
            raise CanceledError("Canceled before its next attempt.")
        return kept == "ended"


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
    return calls.recover_dequeued(redis, job_id, lane) == "requeued"
