"""What must hold of leases: a worker has one of each job it works on, of no other, and until it lapses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simulation.facts import Facts
from simulation.hosts import WorkerHost
from simulation.invariants import Ledger
from simulation.scheduler import Host

from asrq_jobs.settings import Settings
from asrq_worker.queue.execution import Execution

_SOON_S = 8.0  # in which a worker knows what it has begun, even if the answer is lost once
_NOTICE_S = 2.0  # beyond the renewal of a lease: what a keeper may take to see a cancel, and its job to end


class Leases:
    """Watches them in a run. What a host holds that something has disturbed meanwhile is left out of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held: dict[Execution, float] = {}
        self._begun: dict[str, tuple[Host, float]] = {}
        self._given_up: dict[str, Host] = {}
        self._lost: list[tuple[Host, float]] = []  # commands or answers of hosts
        self._unended: set[str] = set()  # leases of jobs that others have ended or erased

    def step(self, before: Facts, after: Facts, host: Host, script: str, now: float) -> Iterator[str]:
        """Yield what is wrong with a step of a host."""
        gone = before.leases.keys() - after.leases.keys()
        # Whether the host knows or not: the answer may have been lost.
        self._given_up |= {lease: host for lease in gone if self._begun.get(lease, (host, 0.0))[0] is host}
        self._begun |= dict.fromkeys(after.leases.keys() - before.leases.keys(), (host, now))
        erased = {job_id for job_id, job in after.jobs.items() if not job.status}
        self._unended |= {lease for lease in self._given_up if lease.split("/")[1] in erased}
        self._unended |= {lease for lease in gone if before.jobs[lease.split("/")[1]].result}
        taken = gone - self._given_up.keys() if script == "end_execution.lua" else set()
        yield from (f"{lease} is taken before it lapses" for lease in taken if before.leases[lease] > now)

    def look(self, ledger: Ledger, facts: Facts, workers: Sequence[WorkerHost], now: float) -> Iterator[str]:
        """Yield what is wrong between any two steps."""
        self._held = {
            execution: self._held.get(execution, now)
            for worker in workers
            for execution in (worker.keeper.held() if worker.host.alive else ())
        }
        for lease in facts.leases.keys() - {execution.lease for execution in self._held}:
            host, since = self._begun.get(lease, (None, 0.0))
            if sum(who is host and at >= since for who, at in self._lost) > 1:
                continue
            if host is not None and host.alive and since > host.disturbed_at and now - since > _SOON_S:
                yield f"{lease} was taken by {host.name}, which does not know of it"
        for worker in workers if self._held else ():
            yield from self._of(worker.host, ledger, facts, now)

    def _of(self, host: Host, ledger: Ledger, facts: Facts, now: float) -> Iterator[str]:
        for execution, since in self._held.items():
            job_id = execution.job_id
            if not _is_of(execution, host) or execution.lease in self._given_up or host.disturbed_at >= since:
                continue
            if job_id in ledger.tampered or job_id in ledger.purged:
                continue
            expiry = facts.leases.get(execution.lease)
            if expiry is None:
                yield f"{job_id}: {host.name} works on it and has lost its lease"
            elif expiry < now:
                yield f"{job_id}: {host.name} works on it and has not renewed its lease"
            asked = max(since, ledger.asked_at.get(job_id, now))
            if facts.jobs[job_id].cancel and now - asked > self._settings.lease_s / 3 + _NOTICE_S:
                yield f"{job_id}: {host.name} has not noticed for {now - asked:.1f} s that it is to be canceled"

    def fenced(self, host: Host, job_id: str) -> Iterator[str]:
        """Yield what is wrong when a worker was told that somebody else has the job."""
        mine = {held.lease for held in self._held if held.job_id == job_id and _is_of(held, host)}
        if any(self._given_up.get(lease) is host for lease in mine - self._unended):
            yield f"{job_id}: {host.name} was refused the end that it had written"

    def lost(self, host: Host, now: float) -> None:
        """A command of a host, or the answer to it, was lost."""
        self._lost.append((host, now))

    def forget(self) -> None:
        """The server has lost what was written."""
        self._begun, self._given_up = {}, {}


def _is_of(execution: Execution, host: Host) -> bool:
    return execution.worker.startswith(f"{host.name}.")
