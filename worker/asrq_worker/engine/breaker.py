"""A circuit breaker: a backend that fails again and again is left alone for a while, then tried once.

closed ──failures in a row──► open ──pause is over──► half-open ──probe succeeded──► closed
                               ▲                         │
                               └───────probe failed──────┘  the next pause is twice as long
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum

from asrq_worker.process.backoff import Backoff

FAILURES = 5
BACKOFF = Backoff(5.0, 60.0)


class BreakerState(StrEnum):
    """Where a breaker is in its life."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Call:
    """One call, from `CircuitBreaker.begin`: a context in which to say how it went.

    A call that says nothing says nothing of the other side either; if it was the probe, another may be.
    """

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *raised: object) -> None:
        self._breaker.over(self)

    def succeeded(self) -> None:
        """Say that it went well."""
        self._breaker.succeeded()

    def failed(self) -> None:
        """Say that it failed."""
        self._breaker.failed()


class CircuitBreaker:
    """Thread-safe. Each call goes through `begin`; to ask `allows` costs nothing.

    `failures` in a row open it; each probe that fails opens it again, for a longer pause of `backoff`.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        backoff: Backoff = BACKOFF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._backoff = backoff
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened = 0
        self._probe_at: float | None = None
        self._probe_until = 0.0
        self._probe: Call | None = None

    @property
    def state(self) -> BreakerState:
        """Where the breaker is now."""
        with self._lock:
            return self._state(self._clock())

    def allows(self) -> bool:
        """Whether a call could begin now."""
        with self._lock:
            return self._allows(self._clock())

    def begin(self, *, anyway: bool = False) -> Call | None:
        """Begin a call, or return None if none is to be made now; half-open, the first to begin is the probe.

        A probe that says nothing within a pause gives its place to another. `anyway`: the call is made whatever the
        state, because there is no other way.
        """
        with self._lock:
            now = self._clock()
            if not self._allows(now):
                return Call(self) if anyway else None
            call = Call(self)
            if self._state(now) is BreakerState.HALF_OPEN:
                self._probe, self._probe_until = call, now + self._backoff.pause_s(self._opened)
            return call

    def over(self, call: Call) -> None:
        """Let another be the probe, if this call still is."""
        with self._lock:
            if self._probe is call:
                self._probe, self._probe_until = None, 0.0

    def succeeded(self) -> None:
        """Report a call that went well: closes the breaker."""
        with self._lock:
            self._failures = 0
            self._opened = 0
            self._probe_at = None

    def failed(self) -> None:
        """Report a call that failed; one that began before the breaker opened changes nothing."""
        with self._lock:
            now = self._clock()
            state = self._state(now)
            if state is BreakerState.CLOSED:
                self._failures += 1
            if state is BreakerState.HALF_OPEN or (state is BreakerState.CLOSED and self._failures >= self._limit):
                self._open(now)

    def pause_left_s(self) -> float:
        """Seconds until a probe is allowed; 0 unless open."""
        with self._lock:
            return 0.0 if self._probe_at is None else max(self._probe_at - self._clock(), 0.0)

    def _allows(self, now: float) -> bool:
        state = self._state(now)
        return state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and now >= self._probe_until)

    def _state(self, now: float) -> BreakerState:
        if self._probe_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._probe_at else BreakerState.HALF_OPEN

    def _open(self, now: float) -> None:
        self._opened += 1
        self._probe_at = now + self._backoff.pause_s(self._opened)
        self._probe, self._probe_until = None, 0.0
