"""Chaos: workers, their children, reapers and the queue's server are killed and stopped at random under a stream of
jobs; in the end every job must have ended exactly once, and nothing may be left.

    PYTHONPATH=tests python -m chaos.run --seconds 60 --seed 1
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from chaos.fleet import Fleet
from chaos.jobs import Stream
from chaos.ledger import contradictions, leftovers
from chaos.server import Server, redis_server, valkey
from integration.worker.processes import all_gone

from asrq_jobs import Client, keys
from asrq_jobs.errors import QueueError
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.spool import Spool


@dataclass(frozen=True)
class Plan:
    """What a run does. `lease_s` 15 is the default of the settings."""

    seconds: float = 60.0
    seed: int = 1
    workers: int = 2
    jobs_per_second: float = 5.0
    kill_every_s: float = 2.0
    lease_s: float = 15.0
    settle_s: float = 180.0
    server: str = "valkey"


@dataclass
class Summary:
    """What a run found; `problems` must be empty. Times in seconds."""

    plan: Plan
    jobs: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    bystanders: int = 0
    strikes: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    attempts: dict[str, int] = field(default_factory=dict)
    recovered: int = 0
    recovery_s: dict[str, float] = field(default_factory=dict)
    submissions_tried_again: int = 0
    duration_s: float = 0.0
    problems: list[str] = field(default_factory=list)


def run(plan: Plan, folder: Path) -> Summary:
    """Run a plan; `folder` holds the server's data, spools and logs."""
    binary = {"valkey": valkey, "redis": redis_server}[plan.server]()
    if binary is None:
        raise SystemExit(f"No {plan.server} server is installed.")
    began, summary = time.monotonic(), Summary(plan)
    when, what, jobs = (random.Random(plan.seed + n) for n in range(3))  # noqa: S311  # to be repeated, not secret
    server = Server(binary, folder / "data")
    with server as url, Client(Settings(redis_url=url, backend="fake")) as client:
        fleet = Fleet(url, server, folder, what, lease_s=plan.lease_s)
        try:
            fleet.start(plan.workers)
            stream = Stream(client, jobs, plan.jobs_per_second)
            texts = _undisturbed(client, stream)
            stream.start()
            until = time.monotonic() + plan.seconds
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(left, when.expovariate(1 / plan.kill_every_s)))
                fleet.strike()
            stream.stop()
            fleet.mend()
            unfinished = _settle(client, list(stream.jobs), within_s=plan.settle_s)
            summary.problems += [f"{each} did not end: {_where(client, each)}" for each in unfinished[:20]]
            fleet.drain()
            summary.strikes, summary.kills = dict(fleet.strikes), fleet.kills
            _check_jobs(client, stream, texts, set(unfinished), fleet, summary)
            summary.problems += leftovers(client.redis)
            summary.problems += _left_on_this_machine(fleet, folder)
        finally:
            fleet.kill_all()
    summary.duration_s = round(time.monotonic() - began, 1)
    return summary


def _undisturbed(client: Client, stream: Stream) -> dict[str, str]:
    """The text of each clip before anything is killed."""
    submitted = {clip.sha256: client.submit(clip, language="en").id for clip in stream.audio}
    results = {sha256: client.wait(job_id, timeout_s=60) for sha256, job_id in submitted.items()}
    return {sha256: result.text or "" for sha256, result in results.items()}


def _settle(client: Client, ids: list[str], *, within_s: float) -> list[str]:
    """Wait until all have ended; returns those that have not."""
    deadline = time.monotonic() + within_s
    while ids and time.monotonic() < deadline:
        with client.redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.exists(keys.result(job_id))
            ids = [job_id for job_id, there in zip(ids, pipe.execute(), strict=True) if not there]
        if ids:
            time.sleep(0.5)
    return ids


def _where(client: Client, job_id: str) -> str:
    try:
        state = client.state(job_id)
    except QueueError as error:
        return error.message
    return f"{state.status}, attempt {state.attempt}, position {state.position}"


def _check_jobs(
    client: Client, stream: Stream, texts: dict[str, str], unfinished: set[str], fleet: Fleet, summary: Summary
) -> None:
    summary.jobs = len(stream.jobs)
    summary.submissions_tried_again = stream.refusals
    ended, attempts, recoveries = Counter[str](), Counter[str](), list[float]()
    for job in stream.jobs.values():
        if job.id in unfinished:
            continue
        result = client.result(job.id)
        if result is None:
            summary.problems.append(f"{job.id} has lost its result")
            continue
        ended[result.error.code if result.error else result.status] += 1
        attempts.update(attempt.error.code if attempt.error else "completed" for attempt in result.attempts)
        summary.recovered += result.status == "completed" and len(result.attempts) > 1
        summary.bystanders += job.bystander(result)
        summary.problems += job.wrong(result, texts.get(job.audio.sha256, ""))
        summary.problems += contradictions(client, job.id)
        recoveries += _recoveries(result, fleet.killed_at)
    summary.ended, summary.attempts = dict(ended), dict(attempts)
    if recoveries:
        recoveries.sort()
        summary.recovery_s = {
            "times": len(recoveries),
            "median": round(recoveries[len(recoveries) // 2], 1),
            "p95": round(recoveries[int(len(recoveries) * 0.95)], 1),
            "worst": round(recoveries[-1], 1),
        }


def _recoveries(result: Result, killed_at: dict[str, float]) -> list[float]:
    """Seconds from each kill of a worker that held the job to the start of the next attempt."""
    return [
        datetime.fromisoformat(after.started_at).timestamp() - killed_at[host]
        for before, after in zip(result.attempts, result.attempts[1:], strict=False)
        if before.error is not None and before.error.code == "worker_lost"
        # <host>.<backend>.<lane>.<number>
        if (host := before.worker.rsplit(".", 3)[0]) in killed_at
    ]


def _left_on_this_machine(fleet: Fleet, folder: Path) -> list[str]:
    found = []
    if not all_gone(fleet.everyone()):
        found.append(f"processes are left: {[process.pid for process in fleet.everyone()]}")
    fleet.age_spools()
    Spool(folder / "spool").close()  # what the next worker does when it starts
    found += [f"{left} is left" for left in (folder / "spool").glob("*")]
    return found


def main() -> int:
    """Run what the command line says; the exit code says whether every promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    for name, default in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    plan = Plan(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="asrq-chaos-", ignore_cleanup_errors=True) as folder:
        summary = run(plan, Path(folder))
    print(json.dumps(asdict(summary), indent=2))
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
