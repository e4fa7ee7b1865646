"""Schedules of a small world, one job, two workers and one reaper, tried one by one.

An actor that can go on goes on until it waits. Nine kinds of steps are branched on (`_AT`): those that move a job. At
each of them every fault of a case is tried, and after each fault every other, up to as many as the case allows. Up to
`turns` times, before such a step, everybody else who can go on goes first, or the clock does. A choice that made no
difference to a run is not built upon.

What is left to `explore`: faults and changes of turn at other steps, more of them in one run than a case names, and
standstills of other lengths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from redis import Redis
from simulation.choosers import Recorded
from simulation.hosts import Script
from simulation.run import Run, RunResult
from simulation.scenario import Scenario, Step, job
from simulation.scheduler import Scheduler
from simulation.server import Change

_AT = ("submit", "LMOVE", "begin", "note", "end_execution", "cancel", "retry", "recover_dequeued", "reconcile")


class _Prefix(Recorded):
    """Chooses as told, then the usual, and notes what else it might have chosen since, with the turns then left."""

    def __init__(self, told: Sequence[int], turns: int) -> None:
        super().__init__()
        self._told = told
        self._turns = turns
        self.scheduler: Scheduler | None = None
        self.open: list[tuple[tuple[int, ...], int]] = []

    def _choose(self, what: str, options: Sequence[str]) -> int:
        at = len(self.choices)
        if at < len(self._told):
            return self._told[at]
        if what != "next":
            self.open += [((*self.choices, other), self._turns) for other in range(1, len(options))]
        elif self._turns:
            assert self.scheduler is not None
            usual = next(actor for actor in self.scheduler.actors if actor.name == options[0])
            others = range(1, len(options)) if usual.about.startswith(_AT) else ()
            self.open += [((*self.choices, other), self._turns - 1) for other in others]
        return 0


def small(*, chunks: tuple[float, ...], steps: tuple[Step, ...], faults: tuple[str, ...], most: int) -> Scenario:
    """One job, two workers, one reaper."""
    request = job(0, webhook="http://receiver/")
    clients = ((request.id, (Step(0.0, "submit"), *steps)),)
    return Scenario(
        (request,), {request.id: Script(chunks)}, clients, reapers=1, faults=faults, most_faults=most,
        at=_AT, lengths_s=(30.0,),
    )  # fmt: skip


def schedules(
    redis: Redis, url: str, scenario: Scenario, *, turns: int = 0, change: Change | None = None
) -> Iterator[RunResult]:
    """Try them, those with few unusual choices first."""
    waiting: list[tuple[tuple[int, ...], int]] = [((), turns)]
    seen: set[str] = set()
    while waiting:
        following: list[tuple[tuple[int, ...], int]] = []
        for prefix, left in waiting:
            chooser = _Prefix(prefix, left)
            run = Run(redis, url, scenario, chooser, seed=1)
            chooser.scheduler = run.scheduler
            outcome = run.go(change)
            yield outcome
            digest = hashlib.sha256(f"{left} {outcome.trace}".encode()).hexdigest()
            if digest not in seen:  # what was chosen made a difference
                seen.add(digest)
                following += chooser.open
        waiting = following
