"""All schedules of a small world: one job, two workers, one reaper, and up to two things that go wrong.

Whoever goes on goes on until it waits. Each fault is tried at each step at which it may happen, and after it each
other. What made no difference to an earlier run is not gone on with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from redis import Redis
from simulation.choosers import Recorded
from simulation.hosts import Script
from simulation.run import Run, RunResult
from simulation.scenario import Scenario, Step, job
from simulation.server import Change


class _Prefix(Recorded):
    """Chooses as told, then the usual, and notes what else it might have chosen since."""

    def __init__(self, told: Sequence[int]) -> None:
        super().__init__()
        self._told = told
        self.open: list[tuple[int, ...]] = []

    def _choose(self, what: str, options: Sequence[str]) -> int:
        at = len(self.choices)
        if at < len(self._told):
            return self._told[at]
        if what != "next":
            self.open += [(*self.choices, other) for other in range(1, len(options))]
        return 0


def small(*, chunks: tuple[float, ...], steps: tuple[Step, ...], faults: tuple[str, ...], most: int) -> Scenario:
    """One job, two workers, one reaper."""
    request = job(0, webhook="http://receiver/")
    clients = ((request.id, (Step(0.0, "submit"), *steps)),)
    return Scenario(
        (request,), {request.id: Script(chunks)}, clients, reapers=1, faults=faults, most_faults=most,
        at=("submit", "LMOVE", "begin", "note", "end_execution", "cancel", "retry", "recover_dequeued", "reconcile"),
        lengths_s=(30.0,),
    )  # fmt: skip


def schedules(redis: Redis, url: str, scenario: Scenario, *, change: Change | None = None) -> Iterator[RunResult]:
    """Try all of them, those with few faults first."""
    waiting: list[tuple[int, ...]] = [()]
    seen: set[str] = set()
    while waiting:
        following: list[tuple[int, ...]] = []
        for prefix in waiting:
            chooser = _Prefix(prefix)
            outcome = Run(redis, url, scenario, chooser, seed=1).go(change)
            yield outcome
            digest = hashlib.sha256("\n".join(outcome.trace).encode()).hexdigest()
            if digest not in seen:  # what was chosen made a difference
                seen.add(digest)
                following += chooser.open
        waiting = following
