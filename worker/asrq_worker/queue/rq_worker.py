"""What RQ and its tools see of a slot: a worker of one queue, with registration, heartbeats and counters."""

from __future__ import annotations

from redis import Redis
from redis.client import Pipeline
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker.base import WorkerStatus
from rq.worker_registration import register

from asrq_jobs import keys
from asrq_worker.job.ending import Ending

_WORKER_TTL_S = 60  # RQ forgets a worker a minute after this without heartbeat


class RqWorker(SimpleWorker):
    """An RQ worker that another class has take jobs. `registered`: RQ's tools know it."""

    def __init__(self, lane: str, name: str, redis: Redis, *, lease_s: float) -> None:
        super().__init__(
            [Queue(keys.queue_name(lane), connection=redis, serializer=JSONSerializer)],
            name=name,
            connection=redis,
            serializer=JSONSerializer,
            worker_ttl=max(_WORKER_TTL_S, int(lease_s)),
        )
        self.lane = lane
        self.registered = False
        self._redis = redis

    def deregister(self) -> None:
        """Have RQ's tools forget it."""
        self.registered = False
        self.register_death()

    def register(self) -> None:
        """Tell RQ's tools of this worker. RQ's own way, if it fails halfway, takes what it has left for a namesake."""
        self.birth_date = self.last_heartbeat = now()
        self.registered = True
        pipe = self._redis.pipeline(transaction=False)
        self.beat(pipe)
        self.set_state(WorkerStatus.IDLE, pipeline=pipe)
        pipe.execute(raise_on_error=False)  # only for display, and written again with each heartbeat

    def beat(self, pipe: Pipeline) -> None:
        """Queue RQ's heartbeat of this worker on a pipeline, while it is registered.

        It registers anew: Redis forgets a host that was suspended, and may itself have lost its data.
        """
        if self.registered:
            register(self, pipe)
            pipe.hset(self.key, mapping=self.serialize())
            self.heartbeat(pipeline=pipe)

    def count_attempt(self, pipe: Pipeline, ending: Ending) -> None:
        """Queue on a pipeline what counts an attempt that has ended, for RQ's tools and for `asrq:stats`."""
        if ending.verdict == "completed" and ending.result is not None:
            self.increment_successful_job_count(pipeline=pipe)
            pipe.hincrby(keys.STATS, keys.completed_of(self.lane))
            pipe.hincrbyfloat(keys.STATS, keys.audio_of(self.lane), ending.result.duration or 0.0)
        elif ending.verdict is not None:
            self.increment_failed_job_count(pipeline=pipe)
        if ending.result is not None:
            pipe.hincrbyfloat(self.key, "total_working_time", ending.result.timings.total_s or 0.0)

    def _set_connection(self, connection: Redis) -> Redis:
        return connection  # RQ would raise the socket timeout of the pool; ours is above the longest blocking call

    def _set_ip_address(self, connection: Redis) -> None:
        del connection
        self.ip_address = "unknown"  # RQ would ask Redis, which may not be up yet, and name a connection that all share
