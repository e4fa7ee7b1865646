"""Keeps the leases of a host's running jobs: renews those that move, stops those that were lost or canceled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from redis import Redis
from redis.client import Pipeline

from asrq_jobs.errors import AsrqError, CanceledError, LeaseLostError
from asrq_worker.job.control import JobControl
from asrq_worker.queue import calls, shared_keys
from asrq_worker.queue.execution import Execution
from asrq_worker.queue.loop import Loop
from asrq_worker.queue.outage import Outage
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.leases")

_MISSED_S = 10.0  # longer than the start of a job takes

Heartbeat = Callable[[Pipeline], None]


class LeaseKeeper:
    """One thread and a call or two per interval, for any number of slots.

    `outage` is what this host knows of an outage of its queue, for all its threads.
    """

    def __init__(self, redis: Redis, *, lease_s: float, heartbeats: Iterable[Heartbeat] = ()) -> None:
        """Renew every third of `lease_s`; `heartbeats` add what else is to be sent then."""
        self.outage = Outage()
        self._redis = redis
        self._lease_s = lease_s
        self._heartbeats = tuple(heartbeats)
        self._lock = threading.Lock()
        self._held: dict[Execution, JobControl] = {}
        self._missed: dict[str, float] = {}
        self.loop = Loop("leases", self._renew, self.outage, _log, longest_pause_s=lease_s / 3)

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
        """Return the running jobs."""
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
        """Renew once, and beat."""
        if held := self.held():
            self._look(held, self._renewed(held))
        pipe = self._redis.pipeline(transaction=False)
        for heartbeat in self._heartbeats:
            heartbeat(pipe)
        for answer in pipe.execute(raise_on_error=False):
            # A key of the wrong type is no outage: the reaper moves it out of the way.
            if isinstance(answer, Exception) and not shared_keys.is_wrong_type(answer):
                raise answer

    def _renewed(self, held: dict[Execution, JobControl]) -> Sequence[tuple[bool, bool]]:
        """Renew the leases of what moves; return for each whether it is held, and whether it is to be canceled."""
        told: list[tuple[str, str, bool]] = []
        for execution, control in held.items():
            if not (moving := control.moving()):
                _log.warning("lease.not_renewed", id=execution.job_id, reason="its thread hangs")
            told.append((execution.job_id, execution.lease, moving))
        return calls.renew(self._redis, told, lease_s=self._lease_s)

    def _look(self, held: dict[Execution, JobControl], found: Sequence[tuple[bool, bool]]) -> None:
        for (execution, control), (holds, canceled) in zip(held.items(), found, strict=True):
            # It may have ended between the copy and the call, and with it its lease.
            if not holds and execution in self.held():
                control.stop(
                    LeaseLostError("The lease of this execution is gone: another one has the job, or it was erased.")
                )
            if canceled:
                control.stop(CanceledError("Canceled while it ran."))

    def _renew(self) -> float:
        self.keep()
        self.outage.over()
        return self._lease_s / 3
