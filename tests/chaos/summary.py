"""What a chaos run found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from chaos.fleet import Fleet
from chaos.receiver import Receiver
from support.jobs import SubmittedJob
from support.ledger import contradictions

from asrq_jobs import Client
from asrq_jobs.result import Result

_MOST_PROBLEMS = 50


@dataclass
class Summary:
    """`problems` must be empty; beyond the first ones they are only counted. Times in seconds."""

    plan: dict[str, Any]
    jobs: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    """Jobs by status or error code."""
    bystanders: int = 0
    """Jobs taken for poison only because the chaos killed their engine twice."""
    attempts: Counter[str] = field(default_factory=Counter)
    recovered: int = 0
    """Jobs completed by another attempt than the first."""
    recovery_s: dict[str, dict[str, float]] = field(default_factory=dict)
    """From the kill of a worker at work: until the reaper gave each of its jobs back (`given_back`), and until the next
    attempt started, the wait for a slot included (`started`). `undisturbed` are those that were given back while server
    and reapers were well."""
    strikes: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    logged: Counter[str] = field(default_factory=Counter)
    """What the workers did about it."""
    submissions_tried_again: int = 0
    failed_starts: int = 0
    """Workers that ended at their start (the server was full, a child was killed), and were started again."""
    duration_s: float = 0.0
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)

    def blame(self, found: Iterable[str]) -> None:
        """Note problems."""
        for problem in found:
            self.problem_count += 1
            if len(self.problems) < _MOST_PROBLEMS:
                self.problems.append(problem)

    def check(
        self,
        client: Client,
        jobs: Iterable[SubmittedJob],
        texts: Mapping[tuple[str | None, str], str | None],
        receiver: Receiver,
        fleet: Fleet,
    ) -> None:
        """Hold each job that has ended against what is right for it."""
        recoveries: list[_Recovery] = []
        for job in jobs:
            self.jobs += 1
            result = client.result(job.id)
            if result is None:
                self.blame([f"{job.id} has lost its result"])
                continue
            self.ended[result.error.code if result.error else result.status] += 1
            self.attempts.update(attempt.error.code if attempt.error else "completed" for attempt in result.attempts)
            self.recovered += result.status == "completed" and len(result.attempts) > 1
            self.bystanders += job.bystander(result)
            self.blame(job.wrong(result, texts.get(job.text_key)))
            self.blame(contradictions(client, job.id))
            self.blame(receiver.wrong(result, webhook=job.kind.webhook))
            recoveries += _recoveries(result, fleet.killed_at)
        undisturbed = [
            each
            for each in recoveries
            if all(until < each.killed or each.given_back < since for since, until in fleet.disturbed)
        ]
        for name, some in (("undisturbed", undisturbed), ("all", recoveries)):
            self.recovery_s[f"{name} given_back"] = _spread([each.given_back - each.killed for each in some])
            self.recovery_s[f"{name} started"] = _spread([each.started - each.killed for each in some])


class _Recovery(NamedTuple):
    """Of one lost attempt: when its worker was killed, and what came of it. Unix times."""

    killed: float
    given_back: float
    started: float


def _recoveries(result: Result, killed_at: Mapping[str, float]) -> list[_Recovery]:
    return [
        _Recovery(killed, given_back, _unix(after.started_at))
        for before, after in zip(result.attempts, result.attempts[1:], strict=False)
        if before.error is not None and before.error.code == "worker_lost"
        # <host>.<backend>.<lane>.<number>
        if (killed := killed_at.get(before.worker.rsplit(".", 3)[0])) is not None
        # Or it was lost before.
        if before.ended_at and (given_back := _unix(before.ended_at)) > killed
    ]


def _unix(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _spread(seconds: list[float]) -> dict[str, float]:
    took = sorted(round(each, 1) for each in seconds)
    if not took:
        return {"times": 0}
    return {"times": len(took), "median": took[len(took) // 2], "p95": took[int(len(took) * 0.95)], "worst": took[-1]}
