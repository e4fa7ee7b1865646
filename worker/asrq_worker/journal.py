"""The trace of a running job in Redis: its events and its finished chunks."""

from __future__ import annotations

from typing import cast

from pydantic import TypeAdapter, ValidationError
from redis import Redis
from redis.exceptions import RedisError

from asrq_jobs import keys
from asrq_jobs.events import Event
from asrq_worker.backends.base import Transcript
from asrq_worker.logs import Log

_MOST_EVENTS = 5000
_TRANSCRIPT: TypeAdapter[Transcript] = TypeAdapter(Transcript)
_log = Log("asrq.journal")


class RedisJournal:
    """Writes as the job goes. A trace that cannot be written is logged and never fails the job."""

    def __init__(self, redis: Redis, job_id: str, *, ttl_s: int) -> None:
        self._redis = redis
        self._job_id = job_id
        self._ttl_s = ttl_s

    def event(self, event: Event) -> None:
        """Append an event to the job's stream."""
        try:
            self._redis.xadd(
                keys.events(self._job_id), {"event": event.to_json()}, maxlen=_MOST_EVENTS, approximate=True
            )
        except (RedisError, OSError) as error:
            _log.warning("event.lost", id=self._job_id, type=event.type, reason=type(error).__name__)

    def load(self) -> dict[str, Transcript]:
        """Return finished chunks of earlier attempts; one that does not parse is done again."""
        try:
            raw = cast("dict[bytes, bytes]", self._redis.hgetall(keys.chunks(self._job_id)))
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

    def save(self, key: str, transcript: Transcript) -> None:
        """Keep a finished chunk for a later attempt."""
        name = keys.chunks(self._job_id)
        try:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(name, key, _TRANSCRIPT.dump_json(transcript))
            pipe.expire(name, self._ttl_s)
            pipe.execute()
        except (RedisError, OSError) as error:
            _log.warning("checkpoint.lost", id=self._job_id, reason=type(error).__name__)
