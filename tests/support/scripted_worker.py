"""A worker that does as a test tells it."""

from __future__ import annotations

import time
import uuid
from typing import Any

from redis import Redis

from asrq_jobs import keys
from asrq_jobs.errors import AsrqError, CanceledError
from asrq_jobs.events import Event
from asrq_jobs.request import PathAudio
from asrq_jobs.result import Result
from asrq_worker.job.ending import Ending
from asrq_worker.queue.execution import Execution


class ScriptedWorker:
    """Begins jobs and ends them through the same scripts as a real worker, when a test says so."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def take(self, lane: str = "interactive", *, within_s: float = 10.0) -> Execution:
        """Wait for a job and begin it."""
        raw = self._redis.blmove(keys.queue(lane), keys.intermediate(lane), within_s, "LEFT", "RIGHT")
        assert raw is not None, "no job came"
        execution = Execution(raw.decode(), uuid.uuid4().hex, lane, "scripted")
        self._begun = execution.begin(self._redis, lease_s=60)
        assert self._begun.verdict == "started"
        return execution

    def event(self, execution: Execution, event: Event) -> None:
        """Tell something of a job."""
        self._redis.xadd(keys.events(execution.job_id), {"event": event.to_json()})

    def complete(self, execution: Execution, text: str, **fields: Any) -> None:
        """End a job well; `fields` are further ones of its result."""
        result = Result(id=execution.job_id, status="completed", text=text, **fields)
        self._end(execution, Event(type="completed", at=time.time()), result)

    def fail(self, execution: Execution, error: AsrqError) -> None:
        """End a job badly."""
        result = Result(id=execution.job_id, status="failed", error=error.info())
        self._end(execution, Event(type="failed", at=time.time(), error=error.info()), result)

    def cancel(self, execution: Execution) -> None:
        """End a job as one whose cancellation was asked for."""
        result = Result(id=execution.job_id, status="canceled", error=CanceledError("Canceled.").info())
        self._end(execution, Event(type="canceled", at=time.time(), error=result.error), result)

    def _end(self, execution: Execution, event: Event, result: Result) -> None:
        ending = Ending(result.status, event, self._begun.attempts[-1], result, ttl_s=60)
        assert execution.end(self._redis, ending, audio=PathAudio(path="/scripted"), blob_ttl_s=60)
