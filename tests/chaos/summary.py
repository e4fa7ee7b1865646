"""What a chaos run found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chaos.jobs import Job
from chaos.ledger import contradictions
from chaos.receiver import Receiver

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
    recovery_s: dict[str, float] = field(default_factory=dict)
    """From the kill of a worker to the start of the next attempt of each of its jobs."""
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
        jobs: Iterable[Job],
        texts: Mapping[tuple[str | None, str], str | None],
        receiver: Receiver,
        killed_at: Mapping[str, float],
    ) -> None:
        """Hold each job that has ended against what is right for it."""
        recoveries: list[float] = []
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
            self.blame(receiver.wrong(result, announced=job.kind.announced))
            recoveries += _recoveries(result, killed_at)
        if recoveries:
            recoveries.sort()
            self.recovery_s = {
                "times": len(recoveries),
                "median": round(recoveries[len(recoveries) // 2], 1),
                "p95": round(recoveries[int(len(recoveries) * 0.95)], 1),
                "worst": round(recoveries[-1], 1),
            }


def _recoveries(result: Result, killed_at: Mapping[str, float]) -> list[float]:
    return [
        datetime.fromisoformat(after.started_at).timestamp() - killed_at[host]
        for before, after in zip(result.attempts, result.attempts[1:], strict=False)
        if before.error is not None and before.error.code == "worker_lost"
        # <host>.<backend>.<lane>.<number>
        if (host := before.worker.rsplit(".", 3)[0]) in killed_at
    ]
