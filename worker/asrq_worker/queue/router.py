"""Which jobs this worker takes, and which it passes on to those that wait for another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from asrq_jobs import keys
from asrq_jobs.events import Event
from asrq_jobs.request import Request
from asrq_worker.queue import calls, clock, shared_keys
from asrq_worker.routing.offers import Need, Offer, Registration, refusal, served
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.router")

_FRESH_S = 0.5  # for so long, what one slot has read serves all slots of this worker


class Router:
    """Goes by what this worker can serve now, and by what the others have announced. Thread-safe."""

    def __init__(
        self, redis: Redis, name: str, offers: Callable[[], Sequence[Offer]], try_anew: Callable[[str], None]
    ) -> None:
        """`name` is this worker's in `asrq:hosts`; `offers` says what it can serve, the backend that serves first.

        `try_anew` is told of a backend that could not be loaded, when a job comes that it would have served.
        """
        self._redis = redis
        self._name = name.encode()
        self._offers = offers
        self._try_anew = try_anew
        # Each with when it was read. Without a lock: while one slot waits for Redis, none waits for that slot.
        self._queues: tuple[float, set[bytes]] = (-inf, set())
        self._others: tuple[float, list[Registration]] = (-inf, [])

    def dequeue_apart(self, lane: str) -> bytes | None:
        """Dequeue an id if jobs wait for a worker like this one: what was enqueued first there or in the lane itself.

        Raises:
            redis.exceptions.RedisError: Redis does not answer, or refuses.
        """
        offers, queues = self._offers(), self._known_queues()
        needs = [need for need in keys.needs(lane, queues) if _can(need, offers)]
        return calls.take(self._redis, lane, needs) if needs else None

    def _known_queues(self) -> set[bytes]:
        read_at, queues = self._queues
        if time.monotonic() - read_at >= _FRESH_S:
            queues = shared_keys.queues(self._redis)
            self._queues = (time.monotonic(), queues)
        return queues

    def passes_on(self, request: Request) -> bool:
        """Whether a job is for another worker: this one cannot serve it, and one that is registered can.

        Raises:
            redis.exceptions.RedisError: Redis does not answer.
        """
        need, offers = Need.of(request), self._offers()
        if refusal(need, offers) is None:
            return False
        for offer in offers:
            if offer.error is not None and refusal(need, [offer.model_copy(update={"error": None})]) is None:
                self._try_anew(offer.backend)
        return self._elsewhere(need, request.lane)

    def hands_back(self, request: Request) -> bool:
        """The same of a job that has begun, and that this worker turned out to be unable to serve.

        While Redis does not answer it is: the worker that takes the job then will know.
        """
        try:
            return self.passes_on(request)
        except (RedisError, OSError):
            return True

    def _elsewhere(self, need: Need, lane: str) -> bool:
        read_at, others = self._others
        if time.monotonic() - read_at < _FRESH_S and served(need, lane, others):
            return True
        announced = cast("dict[bytes, bytes]", self._redis.hgetall(keys.WORKERS))
        found = (Registration.read(status) for name, status in announced.items() if name != self._name)
        others = [worker for worker in found if worker is not None]
        self._others = (time.monotonic(), others)
        return served(need, lane, others)


def _can(need: str, offers: Sequence[Offer]) -> bool:
    try:
        return refusal(Need.parse(need), offers) is None
    except ValueError:  # written by hand
        return False


def pass_on(redis: Redis, request: Request) -> None:
    """Put an id that was dequeued and not begun to those that wait for a worker that can do what the job needs.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or refuses.
    """
    need = str(Need.of(request))
    event = Event(type="queued", at=clock.ask(redis), lane=request.lane, waits_for=need)
    verdict = calls.pass_on(redis, request.id, request.lane, need=need, event=event.to_json())
    _log.info("job.passed_on", id=request.id, lane=request.lane, need=need, verdict=verdict)
