"""Keeps the leases of a host's running jobs: renews those that move, stops those that were lost or canceled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from redis import Redis
from redis.client import Pipeline

from asrq_jobs import keys
from asrq_jobs.errors import AsrqError, CanceledError, LeaseLostError
from asrq_worker.control import JobControl
from asrq_worker.logs import Log
from asrq_worker.queue import shared
from asrq_worker.queue.execution import Execution
from asrq_worker.queue.loop import Loop
from asrq_worker.queue.outage import Outage

_log = Log("asrq.leases")

_MISSED_S = 10.0  # longer than the start of a job takes

Heartbeat = Callable[[Pipeline], None]


class LeaseKeeper:
    """One thread and one pipelined call per interval, whatever the number of slots.

    `outage` is what this host knows of an outage of its queue, for all its threads.
    """

    def __init__(self, redis: Redis, *, lease_s: float, heartbeats: Iterable[Heartbeat] = ()) -> None:
        """Renew every third of `lease_s`; `heartbeats` add what else is to be sent in the same call."""
        self.outage = Outage()
        self._redis = redis
        self._lease_s = lease_s
        self._heartbeats = tuple(heartbeats)
        self._lock = threading.Lock()
        self._held: dict[Execution, JobControl] = {}
        self._missed: dict[str, float] = {}
        self.loop = Loop("leases", self._renew, self.outage, _log, longest_pause_s=lease_s / 3)

    def start(self) -> None:
        """Start renewing."""
        self.loop.start()

    def close(self) -> None:
        """Stop renewing; what is still held will lapse."""
        self.loop.close()

    def hold(self, execution: Execution, control: JobControl) -> bool:
        """Renew the lease of this execution from now on; returns whether `wanted` has been asked for its job lately."""
        with self._lock:
            self._held[execution] = control
            return execution.job_id in self._missed

    def release(self, execution: Execution) -> None:
        """Renew it no more."""
        with self._lock:
            self._held.pop(execution, None)

    def held(self) -> dict[Execution, JobControl]:
        """Return what runs now."""
        with self._lock:
            return dict(self._held)

    def wanted(self, job_id: str) -> bool:
        """Whether a job runs here now. If not, that is remembered for a moment: it may be about to."""
        now = time.monotonic()
        with self._lock:
            self._missed = {other: at for other, at in self._missed.items() if now - at < _MISSED_S}
            if any(execution.job_id == job_id for execution in self._held):
                return True
            self._missed[job_id] = now
            return False

    def cancel(self, job_id: str) -> None:
        """Stop a running job because a client asked."""
        for execution, control in self.held().items():
            if execution.job_id == job_id:
                control.stop(CanceledError("Canceled while it ran."))

    def stop_all(self, reason: AsrqError) -> None:
        """Stop everything that runs."""
        for control in self.held().values():
            control.stop(reason)

    def keep(self) -> None:
        """Renew once: one pipelined call."""
        held = self.held()
        moving = {execution: control for execution, control in held.items() if control.moving()}
        for execution in held.keys() - moving.keys():
            _log.warning("lease.not_renewed", id=execution.job_id, reason="its thread hangs")
        expiry = time.time() + self._lease_s
        pipe = self._redis.pipeline(transaction=False)
        for heartbeat in self._heartbeats:
            heartbeat(pipe)
        if held:
            pipe.zmscore(keys.LEASES, [execution.lease for execution in held])
            pipe.mget([keys.cancel(execution.job_id) for execution in held])
        if moving:
            pipe.zadd(keys.LEASES, {execution.lease: expiry for execution in moving}, xx=True)
        answers = pipe.execute(raise_on_error=False)
        for answer in answers:
            # What somebody has spoilt, even the leases themselves, is no outage: the reaper moves it out of the way.
            if isinstance(answer, Exception) and not shared.is_wrong_type(answer):
                raise answer
        if held:
            at = -3 if moving else -2
            self._look(held, answers[at], answers[at + 1])

    def _look(
        self, held: dict[Execution, JobControl], scores: list[float | None] | Exception, cancels: list[bytes | None]
    ) -> None:
        known = [0.0] * len(held) if isinstance(scores, Exception) else scores
        for (execution, control), score, cancel in zip(held.items(), known, cancels, strict=True):
            # It may have ended between the copy and the call, and with it its lease.
            if score is None and execution in self.held():
                control.stop(LeaseLostError("The lease of this execution has lapsed; another one has the job."))
            if cancel is not None:
                control.stop(CanceledError("Canceled while it ran."))

    def _renew(self) -> float:
        self.keep()
        self.outage.over()
        return self._lease_s / 3
