"""Chaos: workers, their children, reapers and the queue's server are killed, stopped and filled at random under a
stream of jobs; in the end every job must have ended exactly once, and nothing may be left.

    PYTHONPATH=tests python -m chaos.run --seconds 60 --seed 1 --backend fake
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from chaos.fleet import Fleet
from chaos.receiver import Receiver
from chaos.summary import Summary
from support.jobs import Stream
from support.ledger import leftovers
from support.processes import all_gone
from support.server import SERVERS, Server
from support.subjects import subject

from asrq_jobs import Client, keys
from asrq_jobs.errors import QueueError
from asrq_jobs.request import LANES
from asrq_jobs.settings import Settings
from asrq_worker.storage.spool import Spool

_TELL_EVERY_S = 60.0


@dataclass(frozen=True)
class Plan:
    """What a run does. `lease_s` 15 is the default of the settings; `backend` is fake or whisper (with tiny.en)."""

    seconds: float = 60.0
    seed: int = 1
    backend: str = "fake"
    workers: int = 4
    jobs_per_second: float = 5.0
    kill_every_s: float = 2.0
    lease_s: float = 15.0
    settle_s: float = 180.0
    server: str = "valkey"


def run(plan: Plan, folder: Path) -> Summary:
    """Run a plan; `folder` holds the server's data, spools and logs."""
    binary, under_test = SERVERS[plan.server](), subject(plan.backend)
    missing = f"a {plan.server} server" if binary is None else under_test.missing
    if binary is None or missing:
        raise SystemExit(f"This machine lacks {missing}.")
    began, summary = time.monotonic(), Summary(asdict(plan))
    when, what, jobs = (random.Random(plan.seed + n) for n in range(3))  # noqa: S311  # to be repeated, not secret
    server = Server(binary, folder / "data")
    with server as url, Receiver() as receiver, Client(Settings(redis_url=url)) as client:
        fleet = Fleet(server, plan.backend, under_test, folder, what, lease_s=plan.lease_s)
        try:
            fleet.start(plan.workers)
            stream = Stream(client, under_test, jobs, plan.jobs_per_second, folder, receiver.url)
            texts = stream.undisturbed()
            stream.start()
            teller = _Teller(lambda: f"{len(stream.jobs)} jobs, {_waiting(client)} waiting, {fleet.kills} kills")

            def look_after() -> None:
                fleet.supervise()
                teller.tell()

            due = time.monotonic()
            until = due + plan.seconds
            while (due := due + when.expovariate(1 / plan.kill_every_s)) < until:
                time.sleep(max(0.0, due - time.monotonic()))
                look_after()
                fleet.strike()
            time.sleep(max(0.0, until - time.monotonic()))
            fleet.fix()  # first: a full server would have the stream submit its last job forever
            stream.stop()
            unfinished = _settle(client, list(stream.jobs), look_after, within_s=plan.settle_s)
            summary.blame(f"{each} did not end: {_where(client, each)}" for each in sorted(unfinished))
            fleet.drain()
            summary.strikes, summary.kills, summary.logged = fleet.strikes, fleet.kills, fleet.logged()
            summary.submissions_tried_again, summary.failed_starts = stream.refusals, fleet.failed_starts
            summary.blame([*fleet.odd_ends, *fleet.defects()])
            ended = (job for job in stream.jobs.values() if job.id not in unfinished)
            summary.check(client, ended, texts, receiver, fleet)
            summary.blame(["a webhook was not signed"] * receiver.forged)
            summary.blame(leftovers(client.redis))
            summary.blame(_left_on_this_machine(fleet, folder))
        finally:
            fleet.kill_all()
    summary.duration_s = round(time.monotonic() - began, 1)
    return summary


class _Teller:
    """Says on standard error how it goes, once a minute."""

    def __init__(self, how: Callable[[], str]) -> None:
        self._how = how
        self._began = self._told = time.monotonic()

    def tell(self) -> None:
        now = time.monotonic()
        if now - self._told >= _TELL_EVERY_S:
            self._told = now
            print(f"{now - self._began:.0f} s: {self._how()}", file=sys.stderr, flush=True)


def _waiting(client: Client) -> int:
    return sum(client.redis.llen(keys.queue(lane)) for lane in LANES)


def _settle(client: Client, ids: list[str], look_after: Callable[[], None], *, within_s: float) -> set[str]:
    """Wait until all have ended and been announced, as long as one does in every `within_s` seconds; returns those that
    have not ended."""
    left, deadline = len(ids), time.monotonic() + within_s
    while (ids or client.redis.exists(keys.WEBHOOKS)) and time.monotonic() < deadline:
        if len(ids) < left:
            left, deadline = len(ids), time.monotonic() + within_s
        with client.redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.exists(keys.result(job_id))
            ids = [job_id for job_id, there in zip(ids, pipe.execute(), strict=True) if not there]
        look_after()
        time.sleep(0.5)
    return set(ids)


def _where(client: Client, job_id: str) -> str:
    try:
        state = client.state(job_id)
    except QueueError as error:
        return error.message
    return f"{state.status}, attempt {state.attempt}, position {state.position}"


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
    choices = {"backend": ("fake", "whisper"), "server": tuple(SERVERS)}
    for name, default in asdict(Plan()).items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(default), default=default, choices=choices.get(name)
        )
    plan = Plan(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="asrq-chaos-", ignore_cleanup_errors=True) as folder:
        summary = run(plan, Path(folder))
    print(json.dumps(vars(summary), indent=2))
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
