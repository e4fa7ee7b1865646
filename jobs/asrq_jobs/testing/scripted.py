"""A worker that does what a test says, on a real Redis or Valkey: through the same scripts as those with a model."""

from __future__ import annotations

import json
import time
import uuid
import zlib
from contextlib import suppress
from typing import Any, cast

from redis import Redis

from asrq_jobs import executing, keys, rq, scripts
from asrq_jobs.errors import JobStateError
from asrq_jobs.events import Event
from asrq_jobs.request import Lane, Request
from asrq_jobs.result import Attempt, Result
from asrq_jobs.scripts import ScriptName
from asrq_jobs.testing.worker import NAME, Execution, Worker

_LEASE_S = 60.0
_HORIZON_S = 86_400
_KEPT_S = 60
_BLOCK_S = 1.0  # less than the timeout of a client's connection


class ScriptedWorker(Worker):
    """Takes jobs from a queue and ends them as a test says, each within a minute. Results are kept for a minute.

    `Client.redis` is a connection that it can use.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def begin_next(self, lane: Lane, within_s: float) -> Execution | None:
        """Begin the next job of a lane; None if none comes within so many seconds."""
        give_up_at = time.monotonic() + within_s
        while (raw := self._dequeue(lane, min(_BLOCK_S, within_s))) is None:
            if time.monotonic() >= give_up_at:
                return None
        job_id, execution_id = raw.decode(), uuid.uuid4().hex
        given = executing.begin(job_id, execution_id, lane, NAME, lease_s=_LEASE_S, horizon_s=_HORIZON_S)
        answer = cast("list[Any]", self._call("begin", given))
        verdict, attempts = answer[0].decode(), answer[1]
        if verdict != "started":
            raise JobStateError(f"Job {job_id} cannot be begun ({verdict}).")
        data = cast("bytes", self._redis.hget(keys.job(job_id), rq.DATA))
        with suppress(zlib.error):  # compressed where one of RQ's own tools has written it again
            data = zlib.decompress(data)
        request = Request.parse(json.loads(data)[2][0])
        return Execution(request, execution_id, tuple(Attempt.model_validate_json(each) for each in attempts))

    def event(self, execution: Execution, event: Event) -> None:
        """Tell something of a job, such as a `progress` or a `chunk`."""
        lease = f"{execution.lane}/{execution.job_id}/{execution.execution_id}"
        if not self._call("note", executing.note(execution.job_id, lease, [event.to_json()], ttl_s=_KEPT_S)):
            raise _over(execution)

    def end(self, execution: Execution, event: Event, result: Result) -> None:
        """Write the end of a job."""
        given = executing.end(
            execution.job_id,
            execution.lane,
            result.status,
            event.to_json(),
            result=result,
            ttl_s=_KEPT_S,
            audio=execution.request.audio,
            blob_ttl_s=_KEPT_S,
            execution=execution.execution_id,
            worker=NAME,
            attempt=result.attempts[-1],
        )
        if self._call("end_execution", given) != 1:
            raise _over(execution)

    def _dequeue(self, lane: Lane, within_s: float) -> bytes | None:
        places = keys.queue(lane), keys.intermediate(lane)
        found = self._redis.blmove(*places, within_s, "LEFT", "RIGHT")  # type: ignore[arg-type]  # Redis takes parts of a second
        return cast("bytes | None", found)

    def _call(self, name: ScriptName, given: executing.Given) -> Any:
        return scripts.load(self._redis, name)([], [executing.document(given)])


def _over(execution: Execution) -> JobStateError:
    return JobStateError(f"Job {execution.job_id} has ended, or is another worker's by now.")
