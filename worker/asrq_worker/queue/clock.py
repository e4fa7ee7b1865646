"""This machine's clock beside that of Redis: a lease is a time, written by one host and read by another."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from redis import Redis
from redis.exceptions import ResponseError

from asrq_worker.queue.loop import Loop
from asrq_worker.queue.outage import Outage
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.clock")

_LOOK_S = 30.0
_TRIES = 3


def from_then_on(told: float) -> Callable[[], float]:
    """Return the time of Redis from now on, without asking again: what it told, Unix s, and what has passed since.

    The clocks of hosts differ, so they only measure how long things take.
    """
    since = time.monotonic()
    return lambda: told + time.monotonic() - since


@dataclass(frozen=True)
class Offset:
    """How far this clock is ahead of that of Redis, within `uncertain_s` either way; seconds."""

    ahead_s: float
    uncertain_s: float

    def endangers(self, lease_s: float) -> bool:
        """Whether it is surely more than a third of a lease: renewed in time, that may have lapsed for others."""
        return abs(self.ahead_s) - self.uncertain_s > lease_s / 3

    def __str__(self) -> str:
        off, side = abs(self.ahead_s), "ahead of" if self.ahead_s > 0 else "behind"
        return f"The clock of this machine is {off:.1f} s {side} that of Redis."


def offset(before: float, told: tuple[int, int], round_trip_s: float) -> Offset:
    """Return what an answer of the command TIME tells: seconds and microseconds, as they were during the round trip.

    `before` is the Unix time here when it was sent. Cristian's algorithm (1989): the answer was made half a round trip
    ago, give or take that half.
    """
    seconds, microseconds = told
    return Offset(before + round_trip_s / 2 - (seconds + microseconds / 1e6), round_trip_s / 2)


def measure(redis: Redis) -> Offset:
    """Ask Redis for its time, and take the quickest answer of a few.

    Raises:
        redis.exceptions.RedisError: it does not answer, or may not be asked by this user.
    """
    return min((_ask(redis) for _ in range(_TRIES)), key=lambda found: found.uncertain_s)


def _ask(redis: Redis) -> Offset:
    before, began = time.time(), time.monotonic()
    told = redis.time()
    return offset(before, told, time.monotonic() - began)


class ClockWatch:
    """Measures every half minute, and says when the two clocks are too far apart. A context manager."""

    def __init__(
        self, redis: Redis, outage: Outage, *, lease_s: float, measure: Callable[[Redis], Offset] = measure
    ) -> None:
        self._redis = redis
        self._lease_s = lease_s
        self._measure = measure
        self._problem: str | None = None
        self.loop = Loop("clock", self.look, outage, _log, longest_pause_s=_LOOK_S)

    def start(self) -> None:
        """Look now, and then again and again."""
        self.loop.start()

    def __enter__(self) -> ClockWatch:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.close()

    def problem(self) -> str | None:
        """Return in a sentence what was wrong at the last look, or None."""
        return self._problem

    def look(self) -> float:
        """Measure once; return when to look again, in seconds."""
        try:
            found = self._measure(self._redis)
        except ResponseError as error:  # no right to ask, which asrq doctor tells
            _log.debug("clock.unread", reason=type(error).__name__)
            return _LOOK_S
        problem = (
            f"{found} Leases of {self._lease_s:g} s cannot be trusted." if found.endangers(self._lease_s) else None
        )
        if problem is not None and self._problem is None:
            _log.error("clock.off", ahead_s=round(found.ahead_s, 3), lease_s=self._lease_s)
        elif problem is None and self._problem is not None:
            _log.warning("clock.right", ahead_s=round(found.ahead_s, 3))
        self._problem = problem
        return _LOOK_S
