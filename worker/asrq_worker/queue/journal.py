"""The trace of a running job in Redis: its events and its finished chunks, and what other jobs left for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal, cast

from pydantic import TypeAdapter, ValidationError
from redis import Redis
from redis.exceptions import RedisError

from asrq_jobs import keys
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.backends.base import Transcript
from asrq_worker.queue import calls, faults
from asrq_worker.queue.execution import Execution
from asrq_worker.telemetry.logs import Log

_TRANSCRIPT: TypeAdapter[Transcript] = TypeAdapter(Transcript)
_log = Log("asrq.journal")


class RedisJournal:
    """Writes as the job goes, while its execution holds the lease. What cannot be written never fails the job."""

    def __init__(
        self,
        redis: Redis,
        execution: Execution,
        settings: Settings,
        now: Callable[[], float] = time.time,
        *,
        kept: bool = True,
    ) -> None:
        """`now` is the time that events get, Unix s; `kept`: earlier attempts may have finished chunks."""
        self._now = now
        self._redis = redis
        self._lease = execution.lease
        self._job_id = execution.job_id
        self._ttl_s = settings.failure_ttl_s
        self._cache_ttl_s = min(settings.cache_ttl_s, settings.result_ttl_s)
        self._chunks_of = [execution.job_id] if kept else []
        self._lossy = False
        self._partial: str | None = None  # the entry of the newest one, which the next one replaces
        self._concluding: list[Event] = []

    def event(self, event: Event) -> None:
        """Append an event to the job's stream."""
        self._tell(event)

    def conclude(self, *events: Event) -> None:
        """Leave these events for the end, or what comes before it: one round trip less, and one reason less to wake."""
        self._concluding += self._timed(events)
        if self._partial:  # which these replace
            self._tell()

    def concluding(self) -> list[str]:
        """Return the events that were left for the end, as JSON."""
        return [event.to_json() for event in self._concluding]

    def reuse(self, key: str) -> Result | Literal["busy"] | None:
        """Return the result of another job; what has a result of another job is its `cache_key`."""
        try:
            return self._reuse(key)
        except (RedisError, OSError) as error:
            self._lost("reuse", error)
            return None

    def load(self) -> dict[str, Transcript]:
        """Return finished chunks of earlier attempts; one that does not parse is done again."""
        faults.reach("decoded")
        raw: dict[bytes, bytes] = {}
        try:
            for job_id in self._chunks_of:
                raw |= cast("dict[bytes, bytes]", self._redis.hgetall(keys.chunks(job_id)))
        except (RedisError, OSError) as error:
            _log.warning("checkpoints.unreadable", id=self._job_id, reason=type(error).__name__)
            return {}
        found = {}
        for key, value in raw.items():
            try:
                found[key.decode()] = _TRANSCRIPT.validate_json(value)
            except ValidationError:
                _log.warning("checkpoint.malformed", id=self._job_id)
        return found

    def save(self, key: str, transcript: Transcript, *events: Event) -> None:
        """Keep a finished chunk for a later attempt, and publish what there is to tell of it."""
        try:
            self._note(chunk=key, transcript=_TRANSCRIPT.dump_json(transcript).decode(), events=events)
        except (RedisError, OSError) as error:
            self._lost("checkpoint", error)

    def _reuse(self, key: str) -> Result | Literal["busy"] | None:
        useless: str | None = None
        while True:
            verdict, lease = calls.reuse(self._redis, key, self._lease, ttl_s=self._cache_ttl_s, useless=useless)
            job_id = Execution.of_lease(lease, "").job_id if lease else self._job_id
            match verdict:
                case "busy":
                    return "busy"
                case "ended":
                    found = _parsed(cast("bytes | None", self._redis.get(keys.result(job_id))))
                    if found and found.status == "completed" and found.cache_key == key:
                        return found
                    useless = lease
                case _:
                    if job_id != self._job_id:
                        self._chunks_of.append(job_id)
                    return None

    def _tell(self, *events: Event) -> None:
        try:
            self._note(events=events)
        except (RedisError, OSError) as error:
            self._lost("event", error)

    def _timed(self, events: Sequence[Event]) -> list[Event]:
        return [event.model_copy(update={"at": self._now()}) for event in events]

    def _lost(self, what: str, error: Exception) -> None:
        """Tell of the first loss only: an outage takes many."""
        if not self._lossy:
            _log.warning("journal.lossy", id=self._job_id, lost=what, reason=type(error).__name__)
        self._lossy = True

    def _note(self, *, events: Sequence[Event], chunk: str | None = None, transcript: str | None = None) -> None:
        told = [*self._concluding, *self._timed(events)]
        self._concluding = []
        replaces = any(event.type in {"partial", "chunk"} for event in told)
        try:
            last = calls.note(
                self._redis,
                self._job_id,
                self._lease,
                [event.to_json() for event in told],
                chunk=chunk,
                transcript=transcript,
                ttl_s=self._ttl_s,
                instead_of=self._partial if replaces else None,
            )
            if replaces:
                self._partial = last if told[-1].type == "partial" else None
        finally:
            for event in told:
                faults.reach(event.stage or event.type)


def _parsed(text: bytes | None) -> Result | None:
    try:
        return Result.from_json(text) if text else None
    except ValidationError:
        return None
