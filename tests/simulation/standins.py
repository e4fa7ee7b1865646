"""What stands in for `time`, `threading`, `random` and `uuid` in the code under test: simulated time, and actors."""

from __future__ import annotations

import random
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import rq.utils
from simulation.scheduler import Actor, Host, Scheduler

_OURS = ("asrq_jobs", "asrq_worker", "redis.backoff", "rq.job", "rq.queue", "rq.registry", "rq.worker")


class _Event:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._scheduler.pause(ready=self.is_set, seconds=1e9 if timeout is None else timeout)
        return self._set


class _Thread:
    def __init__(
        self, scheduler: Scheduler, target: Callable[[], object], name: str = "thread", daemon: bool = True
    ) -> None:
        self._scheduler = scheduler
        self._target = target
        self._name = name
        self._actor: Actor | None = None
        self._host = scheduler.nobody

    @property
    def ident(self) -> int | None:
        return None if self._actor is None else id(self)

    def start(self) -> None:
        current = self._scheduler.actor
        host: Host = current.host if current else self._host
        self._actor = self._scheduler.spawn(host, f"{host.name}.{self._name}", self._target)

    def is_alive(self) -> bool:
        return self._actor is not None and self._actor.host.alive and not self._actor.over

    def join(self, timeout: float | None = None) -> None:
        if self.is_alive() and timeout != 0:
            self._scheduler.pause(ready=lambda: not self.is_alive(), seconds=1e9 if timeout is None else timeout)


@contextmanager
def simulated(scheduler: Scheduler, source: random.Random) -> Iterator[None]:
    """Have the code under test live in the time of a scheduler, and draw from a source, while this lasts."""

    def elapsed() -> float:
        return scheduler.now

    def clock() -> float:
        actor = scheduler.actor
        return scheduler.now + (actor.host.ahead_s if actor else 0.0)

    def name() -> uuid.UUID:
        return uuid.UUID(int=source.getrandbits(128), version=4)

    fakes: dict[int, Any] = {
        id(time): SimpleNamespace(
            time=clock, monotonic=elapsed, sleep=lambda seconds: scheduler.pause(seconds=seconds), gmtime=time.gmtime
        ),
        id(threading): SimpleNamespace(
            Event=lambda: _Event(scheduler),
            Thread=lambda **named: _Thread(scheduler, **named),
            Lock=threading.Lock,
            RLock=threading.RLock,
            Condition=threading.Condition,
        ),
        id(random): source,
        id(uuid): SimpleNamespace(uuid4=name, UUID=uuid.UUID),
        id(rq.utils.now): lambda: datetime.fromtimestamp(clock(), UTC),
    }
    clocks = {id(time.time): clock, id(time.monotonic): elapsed}
    replaced: list[tuple[Any, str, Any]] = []
    for module in [module for key, module in sys.modules.items() if key.startswith(_OURS)]:
        named, timed = _real(module)
        for attribute, value in named:
            replaced.append((module, attribute, value))
            setattr(module, attribute, fakes[id(value)])
        for function in timed:
            defaults = function.__kwdefaults__ or {}
            replaced.append((function, "__kwdefaults__", defaults))
            function.__kwdefaults__ = {key: clocks.get(id(value), value) for key, value in defaults.items()}
    try:
        yield
    finally:
        for owner, attribute, value in replaced:
            setattr(owner, attribute, value)


@cache
def _real(module: ModuleType) -> tuple[list[tuple[str, Any]], list[FunctionType]]:
    """Return what a module knows of what is simulated: by name, and as defaults of its functions."""
    values, clocks = (time, threading, random, uuid, rq.utils.now), (time.time, time.monotonic)
    named = [(name, value) for name, value in vars(module).items() if any(value is real for real in values)]
    timed = [
        function
        for function in _functions(module)
        if any(value is clock for value in (function.__kwdefaults__ or {}).values() for clock in clocks)
    ]
    return named, timed


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for value in list(vars(module).values()):
        if isinstance(value, FunctionType):
            yield value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            yield from (method for method in vars(value).values() if isinstance(method, FunctionType))
