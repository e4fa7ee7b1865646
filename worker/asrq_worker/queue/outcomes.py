"""How backends did, as a worker tells it the queue: the policy is judged by it."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue

from redis import Redis
from redis.exceptions import RedisError
from redis.typing import EncodableT

from asrq_jobs import keys
from asrq_worker.job.shadow import Comparison
from asrq_worker.routing.policy import BackendOutcome
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.worker")

_OUTCOMES = 500
_COMPARISONS = 1000


class Outcomes:
    """Those of one worker. Thread-safe; what Redis does not take is logged and lost."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._noted: SimpleQueue[tuple[str, BackendOutcome]] = SimpleQueue()

    def note(self, backend: str, outcome: BackendOutcome) -> None:
        """Keep an outcome until `report`."""
        self._noted.put((backend, outcome))

    def report(self, *, at: float) -> None:
        """Tell what was noted; `at` is the time by Redis, Unix s, as that of a change of the policy is."""
        pipe = self._redis.pipeline(transaction=False)
        with suppress(Empty):
            while True:
                backend, outcome = self._noted.get_nowait()
                pipe.lpush(keys.outcomes(backend), outcome.model_copy(update={"at": at}).model_dump_json())
                pipe.ltrim(keys.outcomes(backend), 0, _OUTCOMES - 1)
                if outcome.code is not None:
                    pipe.hincrby(keys.STATS, f"not_served:{backend}:{outcome.code}")
        try:
            pipe.execute()
        except (RedisError, OSError) as error:
            _log.warning("outcome.lost", reason=type(error).__name__)

    def compare(self, comparison: Comparison) -> None:
        """Tell how a shadow did beside the backend that served."""
        entry: dict[EncodableT, EncodableT] = {"comparison": comparison.model_dump_json()}
        try:
            self._redis.xadd(keys.SHADOW, entry, maxlen=_COMPARISONS, approximate=True)
        except (RedisError, OSError) as error:
            _log.warning("comparison.lost", backend=comparison.shadow, reason=type(error).__name__)
