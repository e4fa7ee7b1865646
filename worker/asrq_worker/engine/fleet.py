"""The engines of a host: one for each backend that serves, stands in or is on trial, started when needed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from asrq_jobs.errors import AsrqError, ShutdownError
from asrq_jobs.policy import Policy
from asrq_worker.backends.device import free_memory_mb
from asrq_worker.engine.breaker import CircuitBreaker
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.messages import Loaded
from asrq_worker.engine.scheduler import Scheduler
from asrq_worker.engine.state import EngineState
from asrq_worker.routing.offers import Offer
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.fleet")

_AGAIN_S = 60.0


@dataclass
class Member:
    """One engine with its scheduler, and whether its backend can be relied on just now."""

    name: str
    engine: Engine
    scheduler: Scheduler
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    used_at: float = field(default_factory=time.monotonic)
    jobs: int = 0
    """How many use it now."""

    def used(self) -> None:
        """Note that it was wanted; one that was given up is not kept by that, so that it is tried anew."""
        if not self.engine.final:
            self.used_at = time.monotonic()

    def close(self) -> None:
        """End the engine."""
        self.scheduler.close()
        self.engine.close()


class Fleet:
    """Thread-safe."""

    def __init__(
        self,
        make: Callable[[str], Engine],
        *,
        model_of: Callable[[str], str] = str,
        batch_s: float = math.inf,
        budget_mb: int = 0,
    ) -> None:
        """`make` builds the engine of a backend; it must not start it. `model_of` names the model that it will load.

        `batch_s` limits the batches of each, see `Scheduler`.
        `budget_mb` limits the resident memory of all engines: before one is started, those that are idle are ended, the
        longest idle first, until what is left and what the new one took last time fit; `retire` sees to what nobody
        could know before it was loaded. 0: no limit.
        """
        self._make = make
        self._model_of = model_of
        self._batch_s = batch_s
        self._budget_mb = budget_mb
        self._took_mb: dict[str, int] = {}
        self._lock = threading.Lock()
        self._members: dict[str, Member] = {}
        self._loaded: dict[str, Loaded] = {}
        self._broken: dict[str, AsrqError] = {}
        self._closed = False

    def enlist(self, name: str) -> Member:
        """Return the engine of a backend; it starts loading now if it was not here.

        Raises:
            ShutdownError: the fleet was closed.
        """
        with self._lock:
            if self._closed:
                raise ShutdownError("The worker is stopping.")
            member = self._members.get(name)
            if member is not None:
                member.used()
                return member
            going = self._make_room(self._longest_idle(), self._took_mb.get(name, 0))
            engine = self._make(name)
            member = self._members[name] = Member(name, engine, Scheduler(engine, batch_s=self._batch_s))
        _end(going, "memory")  # first, for both may not fit
        engine.start()
        _log.info("engine.started", backend=name)
        return member

    @contextmanager
    def at_work(self, name: str) -> Iterator[Member]:
        """The same, for a job: nothing else ends the engine meanwhile."""
        member = self._board(name)
        try:
            yield member
        finally:
            with self._lock:
                member.jobs -= 1
            member.used()

    def _board(self, name: str) -> Member:
        while True:
            member = self.enlist(name)
            with self._lock:
                if self._members.get(name) is member:  # it may have made room for another just now
                    member.jobs += 1
                    return member

    def unload(self, name: str) -> bool:
        """End the engine of a backend now, if no job uses it."""
        with self._lock:
            member = self._members.get(name)
            if member is None or member.jobs:
                return False
            self._remove(member)
        _end([member], "asked")
        return True

    def _longest_idle(self) -> list[Member]:
        return sorted(self._members.values(), key=lambda member: member.used_at)

    def _make_room(self, candidates: Iterable[Member], needed_mb: int) -> list[Member]:
        """Take out candidates until so much more fits into the budget; the caller ends them without the lock."""
        memory = {member.name: self._memory_mb(member) for member in self._members.values()}
        going: list[Member] = []
        for member in candidates:
            if not self._budget_mb or sum(memory.values()) + needed_mb <= self._budget_mb:
                break
            if not member.jobs:
                going.append(self._remove(member))
                del memory[member.name]
        return going

    def _memory_mb(self, member: Member) -> int:
        """Return what an engine takes; one that loads will take what it took last time."""
        takes = member.engine.memory_mb() or 0
        if member.engine.state is EngineState.READY:
            self._took_mb[member.name] = takes
        return max(takes, self._took_mb.get(member.name, 0))

    def usable(self, name: str) -> bool:
        """Whether the backend is not known to fail just now: it can be loaded, and its circuit is closed."""
        member = self.find(name)
        return member is None or (not member.engine.failures.lasting and member.breaker.allows())

    def offers(self, policy: Policy) -> tuple[Offer, ...]:
        """Return what this host can serve, the backend that serves first.

        What a backend turned out to be able to do, or why it cannot be loaded, holds until it is loaded again, also
        when its engine is gone.
        """
        canary = policy.canary.backend if policy.canary else None
        with self._lock:
            for member in self._members.values():
                self._note(member)
            names = dict.fromkeys(name for name in (policy.backend, policy.fallback, canary) if name)
            return tuple(self._offer(name, on_request=name not in {policy.backend, policy.fallback}) for name in names)

    def _offer(self, name: str, *, on_request: bool) -> Offer:
        loaded, error = self._loaded.get(name), self._broken.get(name)
        return Offer(
            backend=name,
            model=loaded.identity.model if loaded else self._model_of(name),
            on_request=on_request,
            capabilities=loaded.capabilities if loaded else None,
            error=error.info() if error else None,
        )

    def _note(self, member: Member) -> None:
        engine = member.engine
        if engine.loaded is not None:
            self._loaded[member.name] = engine.loaded
        if engine.failures.lasting and engine.failures.last is not None:
            self._broken[member.name] = engine.failures.last
        elif engine.state is EngineState.READY:
            self._broken.pop(member.name, None)

    def _remove(self, member: Member) -> Member:
        self._note(member)
        return self._members.pop(member.name)

    def try_anew(self, name: str) -> None:
        """Start the engine of a backend that could not be loaded, unless that is tried now, or was a minute ago."""
        with suppress(ShutdownError):
            self.enlist(name)

    def ready(self, name: str) -> bool:
        """Whether the engine of a backend is loaded and warm."""
        member = self.find(name)
        return member is not None and member.engine.state is EngineState.READY

    def find(self, name: str) -> Member | None:
        """Return the engine of a backend if it is here, without starting it."""
        with self._lock:
            return self._members.get(name)

    def members(self) -> list[Member]:
        """Return the engines that are here."""
        with self._lock:
            return list(self._members.values())

    def room_mb(self) -> float:
        """Return how much memory one more process may take, in MiB: what the host has, within the budget."""
        available = free_memory_mb()
        taken = sum(member.engine.memory_mb() or 0 for member in self.members())
        return min(available, self._budget_mb - taken) if self._budget_mb else available

    def states(self) -> dict[str, dict[str, str | float | int | None]]:
        """Return for each engine its state, model, memory in MiB, load time in seconds and restarts."""
        found: dict[str, dict[str, str | float | int | None]] = {}
        for member in self.members():
            loaded = member.engine.loaded
            found[member.name] = {
                "state": member.engine.state.value,
                "model": loaded.identity.model if loaded else None,
                "memory_mb": member.engine.memory_mb(),
                "load_s": round(loaded.load_s, 3) if loaded else None,
                "restarts": member.engine.restarts,
            }
        return found

    def retire(self, keep: Iterable[str], *, idle_s: float) -> None:
        """End engines that are not to be kept and have been idle for so long, and those that exceed the budget.

        One that was given up goes after a minute, so that it is tried anew when it is wanted again. The one that was
        used last stays, whatever memory it takes.
        """
        kept = set(keep)
        with self._lock:
            now = time.monotonic()
            idle = [
                member
                for name, member in self._members.items()
                if not member.jobs
                and now - member.used_at >= (_AGAIN_S if member.engine.final else idle_s)
                and (member.engine.final or name not in kept)
            ]
            for member in idle:
                self._remove(member)
            going = self._make_room(self._longest_idle()[:-1], 0)
        _end(idle, "idle")
        _end(going, "memory")

    def close(self) -> None:
        """End all engines."""
        with self._lock:
            self._closed = True
            members, self._members = list(self._members.values()), {}
        for member in members:
            member.close()


def _end(members: Iterable[Member], reason: str) -> None:
    for member in members:
        member.close()
        _log.info("engine.retired", backend=member.name, reason=reason)
