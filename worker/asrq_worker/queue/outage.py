"""An outage of the queue as a host sees it: told now and then, however many threads run into it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from redis.exceptions import RedisError

from asrq_jobs.connection import connect, in_short, may_pass
from asrq_jobs.settings import Settings
from asrq_worker.process.backoff import Backoff
from asrq_worker.process.supervision import within
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.queue")

_PAUSES = Backoff(0.4, 4.0)  # well below a lease, so that what is held can still be renewed or handed in
_SILENCES = Backoff(5.0, 600.0)
_OVER_S = 60.0  # without a failure: the next one is news
_AT_ONCE_S = 0.8


class Outage:
    """Shared by all threads that talk to one queue. Thread-safe."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._failures = 0
        self._again_at = float("-inf")
        self._last = float("-inf")
        self._tell_at = float("-inf")
        self._lines = 0
        self._told = False

    def failed(self, error: Exception) -> float:
        """Note a failure; return how many seconds to wait before the next try: more the longer it lasts, with jitter.

        It is logged at once, then at intervals that double up to ten minutes. A queue that fails now and again, or for
        one thread only, is told no more often.
        """
        with self._lock:
            now = self._clock()
            self._since = now if self._since is None else self._since
            if now - self._last > _OVER_S:
                self._tell_at, self._lines = now, 0
            self._last = now
            if now >= self._tell_at:
                _log.warning("queue.unreachable", reason=in_short(error), for_s=round(now - self._since, 1))
                self._told = True
                self._lines += 1
                self._tell_at = now + _SILENCES.pause_s(self._lines)
            if now >= self._again_at:  # one failure, however many threads run into it
                self._failures += 1
                self._again_at = now + _PAUSES.pause_s(self._failures)
            return _PAUSES.pause_s(self._failures, jitter=random.random())  # noqa: S311  # spreads hosts, guards nothing

    def over(self) -> None:
        """Note that the queue has taken something."""
        with self._lock:
            if self._since is None:
                return
            if self._told:
                _log.info("queue.back", after_s=round(self._clock() - self._since, 1))
            self._since, self._told = None, False
            self._failures, self._again_at = 0, float("-inf")


def ride_out(attempt: Callable[[], object], outage: Outage, *, within_s: float) -> None:
    """Attempt something that a start needs of the queue, again and again while that is away or cannot serve.

    Raises:
        RedisError, OSError: it refuses, so that waiting would not help, or the time is over.
    """
    give_up_at = time.monotonic() + within_s
    while True:
        try:
            attempt()
        except (RedisError, OSError) as error:
            if not may_pass(error) or time.monotonic() >= give_up_at:
                raise
            time.sleep(outage.failed(error))
        else:
            outage.over()
            return


def answers(settings: Settings) -> bool:
    """Whether Redis answers at once."""
    heard = threading.Event()

    def ask() -> None:
        hasty = settings.model_copy(update={"redis_timeout_s": _AT_ONCE_S})
        with suppress(RedisError, OSError), connect(hasty, retry_s=0) as redis:
            redis.ping()
            heard.set()

    within(_AT_ONCE_S, ask)
    return heard.is_set()
