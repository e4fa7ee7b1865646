"""A deterministic scheduler: actors are greenlets; one runs at a time, and a chooser decides which.

An actor goes on until it wants to do something that others can see (a command to Redis) or waits for something. There
it hands over, and the chooser says who is next: another actor, or the clock. Nothing else decides anything, so that
the same choices give the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Protocol, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

T = TypeVar("T")

START = 1_900_000_000.0
"""Unix time at which each run begins."""
CLOCK = "clock"
_PROMPT_S = 0.5  # a host that nothing ails lets no actor wait for longer than this
_BUSY = 5000  # steps without any time in between
_TICK_S = 0.25  # what passes at once while somebody could go on


class Chooser(Protocol):
    """Decides whatever is open. The first option is the usual one: who went on goes on, and nothing fails."""

    def choose(self, what: str, options: Sequence[str]) -> int:
        """Return the index of one of at least two options."""


class Stuck(AssertionError):  # noqa: N818  # a finding about the program, not an error of the simulation
    """Somebody goes on and on without waiting for anything."""


@dataclass(eq=False)
class Host:
    """A machine with some actors on it, which crash, stand still and are cut off together.

    `ahead_s`: how far its clock is ahead of that of the server.
    """

    name: str
    ahead_s: float = 0.0
    alive: bool = True
    still_until: float = -inf
    away_until: float = -inf
    disturbed_at: float = -inf
    """Until when something that happened to it may cost it leases; inf: for good."""
    actors: list[Actor] = field(default_factory=list)


@dataclass(eq=False)
class Actor:
    """A thread of a host. It can go on when `ready` says so or its `deadline` has come, `since` then, with what it is
    `about` to do."""

    name: str
    host: Host
    run: Callable[[], object]
    ready: Callable[[], bool] | None = None
    deadline: float = inf
    since: float = inf
    started: bool = False
    about: str = ""
    light: greenlet = field(default_factory=greenlet)

    def begin_under(self, main: greenlet) -> None:
        """Be ready to run; when it ends, `main` goes on."""
        self.light = greenlet(self._main, parent=main)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.started and self.light.dead

    def _main(self) -> None:
        with suppress(GreenletExit):
            self.run()


class Scheduler:
    """Lets actors go, one at a time, and keeps the time."""

    def __init__(self, chooser: Chooser) -> None:
        self.chooser = chooser
        self.now = START
        self.actors: list[Actor] = []
        self.moved: Callable[[float], None] = lambda _seconds: None
        """Told of each step of the clock, so that times to live pass as well."""
        self.between: Callable[[], None] = lambda: None
        """Called before anybody goes on."""
        self.trace: list[str] = []
        self.closed = False
        self.nobody = Host("nobody")
        """The host of threads that no actor has started."""
        self._current: Actor | None = None
        self._main = getcurrent()

    # What actors call

    @property
    def actor(self) -> Actor | None:
        """The actor that goes on now; None outside of any."""
        current = self._current
        return current if current is not None and getcurrent() is current.light else None

    def spawn(self, host: Host, name: str, run: Callable[[], object]) -> Actor:
        """Add an actor; it begins when it is chosen."""
        actor = Actor(name, host, run)
        actor.begin_under(self._main)
        host.actors.append(actor)
        self.actors.append(actor)
        return actor

    def pause(self, *, ready: Callable[[], bool] | None = None, seconds: float = 0.0, about: str = "") -> None:
        """Hand over; come back when `ready` holds, or after so many seconds. `about`: what is to be done then."""
        actor = self.actor
        if actor is None:
            return
        if not actor.host.alive:
            raise GreenletExit
        actor.ready, actor.deadline, actor.about = ready, self.now + seconds, about
        self._main.switch()
        actor.ready, actor.deadline, actor.about = None, inf, ""
        if not actor.host.alive:
            raise GreenletExit

    def crash(self, host: Host) -> None:
        """End all actors of a host in the middle of what they do."""
        host.alive, host.disturbed_at = False, inf
        self.note(f"{host.name} crashes")
        if self.actor is not None:
            self._main.switch()  # who goes on now ends as well, from outside

    def note(self, what: str) -> None:
        """Write a line into the trace."""
        name = self._current.name if self._current else ""
        self.trace.append(f"{self.now - START:8.2f}  {name:<22} {what}")

    # The run

    def run(self, until: Callable[[], bool], *, most_s: float) -> bool:
        """Go on until the condition holds; False if it does not within so many seconds of simulated time."""
        end, since, steps = self.now + most_s, self.now, 0
        while not until():
            steps = steps + 1 if self.now == since else 0
            since = self.now
            if steps > _BUSY:
                raise Stuck(f"{self._current and self._current.name} and others go on and on")
            if self.now >= end:
                return False
            self._bury()
            self._step(end)
        return True

    def close(self) -> None:
        """End all actors."""
        self.closed = True
        for actor in self.actors:
            actor.host.alive = False
        self._bury()

    def _bury(self) -> None:
        for actor in [actor for actor in self.actors if not actor.host.alive]:
            self.actors.remove(actor)
            if actor.started and not actor.light.dead:
                self._current = actor
                actor.light.throw(GreenletExit)
        self._current = None if self._current and not self._current.host.alive else self._current

    def _step(self, end: float) -> None:
        self.between()
        able = [actor for actor in self.actors if self._able(actor)]
        if not able:
            self._advance(end)
            return
        able.sort(key=lambda actor: actor is not self._current)
        options = [actor.name for actor in able]
        if self.now - min(actor.since for actor in able) < _PROMPT_S:
            options.append(CLOCK)
        chosen = self.chooser.choose("next", options) if len(options) > 1 else 0
        if chosen == len(able):
            self._tick(able)
            return
        self._resume(able[chosen])

    def _able(self, actor: Actor) -> bool:
        if actor.host.still_until > self.now:
            actor.since = inf
            return False
        able = not actor.started or actor.deadline <= self.now or (actor.ready is not None and actor.ready())
        if not able:
            actor.since = inf
        elif actor.since == inf:
            actor.since = self.now
        return able

    def _resume(self, actor: Actor) -> None:
        self._current, actor.started, actor.since = actor, True, inf
        actor.light.switch()
        if actor.over:
            self.actors.remove(actor)

    def _tick(self, able: Sequence[Actor]) -> None:
        self._pass(min([_TICK_S, *(actor.since + _PROMPT_S - self.now for actor in able)]))

    def _advance(self, end: float) -> None:
        wakes = [max(actor.deadline if actor.started else 0.0, actor.host.still_until) for actor in self.actors]
        self._pass(max(0.0, min([*wakes, end]) - self.now))

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        self.moved(seconds)
