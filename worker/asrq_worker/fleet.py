"""The engines of a host: one for each backend that serves, stands in or is on trial, started when needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from asrq_worker.backends.breaker import CircuitBreaker
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.scheduler import Scheduler
from asrq_worker.logs import Log

_log = Log("asrq.fleet")

_AGAIN_S = 60.0


@dataclass
class Berth:
    """One engine with its scheduler, and whether its backend can be relied on just now."""

    name: str
    engine: Engine
    scheduler: Scheduler
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    used_at: float = field(default_factory=time.monotonic)
    _jobs: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep the engine from being retired meanwhile."""
        with self._lock:
            self._jobs += 1
        try:
            yield
        finally:
            with self._lock:
                self._jobs -= 1
            self.used_at = time.monotonic()

    @property
    def idle(self) -> bool:
        """Whether no job uses it."""
        return self._jobs == 0

    def close(self) -> None:
        """End the engine."""
        self.scheduler.close()
        self.engine.close()


class Fleet:
    """Thread-safe."""

    def __init__(self, make: Callable[[str], Engine], *, budget_mb: int = 0) -> None:
        """`make` builds the engine of a backend; it must not start it.

        `budget_mb` limits the resident memory of all engines: before one is started, those that are idle are ended, the
        longest idle first, until what is left and what the new one took last time fit. 0: no limit.
        """
        self._make = make
        self._budget_mb = budget_mb
        self._took_mb: dict[str, int] = {}
        self._lock = threading.Lock()
        self._berths: dict[str, Berth] = {}

    def enlist(self, name: str) -> Berth:
        """Return the engine of a backend; it starts loading now if it was not here."""
        with self._lock:
            berth = self._berths.get(name)
            going = self._make_room(name) if berth is None else []
            if berth is None:
                engine = self._make(name)
                berth = self._berths[name] = Berth(name, engine, Scheduler(engine))
                engine.start()
                _log.info("engine.started", backend=name)
            berth.used_at = time.monotonic()
        for other in going:
            other.close()
            _log.info("engine.retired", backend=other.name, reason="memory")
        return berth

    def unload(self, name: str) -> bool:
        """End the engine of a backend now, if no job uses it."""
        with self._lock:
            berth = self._berths.get(name)
            if berth is None or not berth.idle:
                return False
            del self._berths[name]
        berth.close()
        _log.info("engine.retired", backend=name, reason="asked")
        return True

    def _make_room(self, name: str) -> list[Berth]:
        """Take engines out, so that the one to be started fits; the caller ends them without the lock."""
        memory = {berth.name: berth.engine.memory_mb() or 0 for berth in self._berths.values()}
        self._took_mb.update(memory)
        going: list[Berth] = []
        for berth in sorted(self._berths.values(), key=lambda berth: berth.used_at):
            if not self._budget_mb or sum(memory.values()) + self._took_mb.get(name, 0) <= self._budget_mb:
                break
            if berth.idle:
                going.append(self._berths.pop(berth.name))
                del memory[berth.name]
        return going

    def usable(self, name: str) -> bool:
        """Whether the backend is not known to fail just now: not given up, and its circuit closed."""
        berth = self.find(name)
        return berth is None or (not berth.engine.final and berth.breaker.allow())

    def loaded(self, name: str) -> bool:
        """Whether the engine of a backend is loaded and warm."""
        berth = self.find(name)
        return berth is not None and berth.engine.loaded is not None

    def find(self, name: str) -> Berth | None:
        """Return the engine of a backend if it is here, without starting it."""
        with self._lock:
            return self._berths.get(name)

    def states(self) -> dict[str, dict[str, str | float | int | None]]:
        """Return for each engine its state, model, memory in MiB, load time in seconds and restarts."""
        with self._lock:
            berths = list(self._berths.values())
        found: dict[str, dict[str, str | float | int | None]] = {}
        for berth in berths:
            loaded = berth.engine.loaded
            found[berth.name] = {
                "state": berth.engine.state.value,
                "model": loaded.identity.model if loaded else None,
                "memory_mb": berth.engine.memory_mb(),
                "load_s": round(loaded.load_s, 3) if loaded else None,
                "restarts": berth.engine.restarts,
            }
        return found

    def retire(self, keep: Iterable[str], *, idle_s: float) -> None:
        """End engines that are not to be kept and have been idle for so long.

        One that was given up goes after a minute, so that it is tried anew when it is wanted again.
        """
        kept = set(keep)
        with self._lock:
            now = time.monotonic()
            idle = [
                berth
                for name, berth in self._berths.items()
                if berth.idle
                and now - berth.used_at >= (_AGAIN_S if berth.engine.final else idle_s)
                and (berth.engine.final or name not in kept)
            ]
            for berth in idle:
                del self._berths[berth.name]
        for berth in idle:
            berth.close()
            _log.info("engine.retired", backend=berth.name)

    def close(self) -> None:
        """End all engines."""
        with self._lock:
            berths, self._berths = list(self._berths.values()), {}
        for berth in berths:
            berth.close()
