"""The reaper: brings back what dead workers held and what waits for its time, so that every job ends.

Any number may run; one leads. Every effect is a script that looks again before it acts, so a second leader or a
race with a live worker does no harm.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.worker_registration import clean_worker_registry

from asrq_jobs import keys, scripts
from asrq_jobs import policy as policies
from asrq_jobs.errors import RequestError, WorkerLostError
from asrq_jobs.events import Event
from asrq_jobs.request import LANES, Request
from asrq_jobs.result import Attempt, Result
from asrq_jobs.settings import Settings
from asrq_worker import guard, quarantine, reports
from asrq_worker.execution import Execution, give_back, iso
from asrq_worker.logs import Log
from asrq_worker.outcome import decide
from asrq_worker.policy import Outcome, verdict
from asrq_worker.task import attempt_limit

_log = Log("asrq.reaper")

_MOST = 200  # entries looked at in one round, so that a round stays short


@dataclass(frozen=True)
class Report:
    """What one round did: ids of jobs."""

    leading: bool
    requeued: tuple[str, ...] = ()
    """Their worker died; they run again."""
    failed: tuple[str, ...] = ()
    """Their worker died and their attempts are used up."""
    due: tuple[str, ...] = ()
    """Delayed retries whose time came."""
    recovered: tuple[str, ...] = ()
    """Dequeued and never started: back at the front of their lane."""
    refused: tuple[str, ...] = ()
    """Not readable as a job of ours."""
    rolled_back: tuple[str, ...] = ()
    """Backends (not jobs) that were on trial and failed it."""


@dataclass
class _Findings:
    requeued: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    due: list[str] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)

    def report(self) -> Report:
        return Report(True, **{name: tuple(found) for name, found in vars(self).items()})


def stuck(
    seen: dict[str, float], now_there: set[str], *, now: float, after_s: float
) -> tuple[set[str], dict[str, float]]:
    """Decide which ids have been between dequeue and start for too long.

    `seen` maps ids of the last round to the time they were first seen there; returns the stuck ones and the map
    for the next round.
    """
    first = {job_id: seen.get(job_id, now) for job_id in now_there}
    return {job_id for job_id, at in first.items() if now - at >= after_s}, first


class Reaper:
    """Looks every `reaper_interval_s`; leads while it holds `asrq:reaper:leader`."""

    def __init__(self, redis: Redis, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._settings = settings
        self._clock = clock
        self._token = uuid.uuid4().hex
        self._seen: dict[str, dict[str, float]] = {lane: {} for lane in LANES}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and let another lead at once."""
        self._stopping.set()
        self._thread.join()

    def run(self, stopping: threading.Event) -> None:
        """Run in this thread until `stopping` is set."""
        self._stopping = stopping
        self._run()

    def run_once(self) -> Report:
        """Look once.

        Raises:
            redis.exceptions.RedisError: Redis does not answer.
        """
        if not self._lead():
            return Report(leading=False)
        findings = _Findings()
        self._lapsed(findings)
        self._judge(findings)
        for lane in LANES:
            self._due(lane, findings)
            self._dequeued(lane, findings)
            self._tidy(lane)
        return findings.report()

    def _lead(self) -> bool:
        for_ms = int(max(10.0, self._settings.reaper_interval_s * 3) * 1000)
        if self._redis.set(keys.LEADER, self._token, nx=True, px=for_ms):
            return True
        if cast("bytes | None", self._redis.get(keys.LEADER)) != self._token.encode():
            return False
        self._redis.pexpire(keys.LEADER, for_ms)
        return True

    def _lapsed(self, findings: _Findings) -> None:
        now = self._clock()
        leases = cast("list[bytes]", self._redis.zrangebyscore(keys.LEASES, 0, now, start=0, num=_MOST))
        for lease in leases:
            try:
                execution = Execution.of_lease(lease.decode(), worker="")
            except ValueError:  # written by hand
                self._redis.zrem(keys.LEASES, lease)
                continue
            try:
                self._recover(execution, now, findings)
            except (RedisError, OSError):
                raise
            except Exception as error:  # noqa: BLE001  # one odd job must not keep the others from being recovered
                _log.error("reaper.defect", error=error, id=execution.job_id)
                reports.capture(error, job_id=execution.job_id)

    def _recover(self, execution: Execution, now: float, findings: _Findings) -> None:
        job_id = execution.job_id
        raw = cast("dict[bytes, bytes]", self._redis.hgetall(keys.job(job_id)))
        if not raw:
            self._redis.zrem(keys.LEASES, execution.lease)
            return
        execution = Execution(job_id, execution.execution_id, execution.lane, raw.get(b"worker_name", b"").decode())
        try:
            request = guard.admit(job_id, execution.lane, raw, self._redis)
        except RequestError as error:
            self._redis.zrem(keys.LEASES, execution.lease)
            quarantine.refuse(self._redis, job_id, execution.lane, raw, error, ttl_s=self._settings.failure_ttl_s)
            findings.refused.append(job_id)
            return
        before = raw.get(b"attempts_before", b"0")
        earlier = int(before) if before.isdigit() else 0
        if self._end_lost(execution, request, earlier, raw, now):
            findings.requeued.append(job_id)
        else:
            findings.failed.append(job_id)

    def _end_lost(
        self, execution: Execution, request: Request, earlier: int, raw: dict[bytes, bytes], now: float
    ) -> bool:
        """Give the job back, or fail it if its attempts are used up; True if it runs again."""
        attempts = self._attempts(execution, now)
        error = WorkerLostError(
            f"The worker {execution.worker or 'that held the job'} stopped renewing its lease.",
            hint="It was killed, lost its network or hung; see its log.",
        )
        outcome = decide(
            error,
            attempts=len(attempts) - earlier,
            max_attempts=attempt_limit(request, self._settings),
            retry_delay_s=self._settings.retry_delay_s,
            jitter=0.0,
        )
        ended_at, info = iso(now), error.info()
        last = attempts[-1].model_copy(update={"ended_at": ended_at, "error": info})
        if outcome.verdict == "front":
            event = Event(type="retrying", at=now, attempt=last.number, delay_s=0.0, error=info)
            execution.end(
                self._redis,
                "front",
                audio=request.audio,
                blob_ttl_s=self._settings.blob_ttl_s,
                event=event,
                attempt=last,
                lapsed_by=now,
            )
            return True
        result = Result(
            id=execution.job_id,
            status="failed",
            task=request.task,
            error=info,
            attempts=(*attempts[:-1], last),
            created_at=raw.get(b"created_at", b"").decode() or None,
            started_at=last.started_at,
            completed_at=ended_at,
        )
        execution.end(
            self._redis,
            "failed",
            audio=request.audio,
            blob_ttl_s=self._settings.blob_ttl_s,
            event=Event(type="failed", at=now, attempt=last.number, error=info),
            attempt=last,
            result=result,
            ttl_s=self._settings.failure_ttl_s,
            lapsed_by=now,
        )
        return False

    def _attempts(self, execution: Execution, now: float) -> tuple[Attempt, ...]:
        listed = cast("list[bytes]", self._redis.lrange(keys.attempts(execution.job_id), 0, -1))
        try:
            attempts = tuple(Attempt.model_validate_json(entry) for entry in listed)
        except ValidationError:  # written by hand
            attempts = ()
        return attempts or (Attempt(number=1, worker=execution.worker, started_at=iso(now)),)

    def _judge(self, findings: _Findings) -> None:
        """Roll a backend on trial back if its outcomes condemn it."""
        try:
            current = policies.read(self._redis)
        except ValidationError:
            return  # workers report it, and go by the last one
        if current is None or current.on_trial is None or current.changed_at is None:
            return
        usual = current.backend if current.canary else current.fallback or current.backend
        since = datetime.fromisoformat(current.changed_at).timestamp()
        reason = verdict(self._outcomes(current.on_trial), self._outcomes(usual), now=self._clock(), since=since)
        if reason is None:
            return
        after = current.rolled_back()
        if policies.write(self._redis, current, after, reason=f"automatic rollback: {reason}", by="reaper"):
            findings.rolled_back.append(current.on_trial)
            _log.warning("policy.rolled_back", backend=current.on_trial, to=after.backend, reason=reason)

    def _outcomes(self, backend: str) -> list[Outcome]:
        listed = cast("list[bytes]", self._redis.lrange(keys.outcomes(backend), 0, -1))
        try:
            return [Outcome.model_validate_json(entry) for entry in listed]
        except ValidationError:  # written by hand
            return []

    def _due(self, lane: str, findings: _Findings) -> None:
        now = self._clock()
        scheduled = keys.registry("scheduled", lane)
        due = cast("list[bytes]", self._redis.zrangebyscore(scheduled, 0, now, start=0, num=_MOST))
        move = scripts.load(self._redis, "enqueue_due")
        for raw in due:
            job_id = raw.decode()
            if move([keys.job(job_id), scheduled, keys.queue(lane)], [job_id, f"{now:.6f}", iso(now)]):
                findings.due.append(job_id)

    def _dequeued(self, lane: str, findings: _Findings) -> None:
        there = {raw.decode() for raw in cast("list[bytes]", self._redis.lrange(keys.intermediate(lane), 0, _MOST))}
        late, self._seen[lane] = stuck(self._seen[lane], there, now=self._clock(), after_s=self._settings.lease_s)
        findings.recovered += [job_id for job_id in sorted(late) if give_back(self._redis, job_id, lane)]

    def _tidy(self, lane: str) -> None:
        """Forget registry entries that have lapsed and workers that are gone, as RQ's own maintenance would."""
        now = self._clock()
        for kind in ("finished", "failed", "canceled"):
            self._redis.zremrangebyscore(keys.registry(kind, lane), 0, now)
        clean_worker_registry(Queue(keys.queue_name(lane), connection=self._redis))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._log(self.run_once())
            except (RedisError, OSError) as error:
                _log.warning("queue.unreachable", reason=type(error).__name__)
            except Exception as error:  # noqa: BLE001  # a defect of ours must not end the reaper
                _log.error("reaper.defect", error=error)
                reports.capture(error)
            self._stopping.wait(self._settings.reaper_interval_s)
        try:
            if cast("bytes | None", self._redis.get(keys.LEADER)) == self._token.encode():
                self._redis.delete(keys.LEADER)
        except (RedisError, OSError) as error:
            _log.warning("queue.unreachable", reason=type(error).__name__)

    def _log(self, report: Report) -> None:
        done = {
            name: len(ids)
            for name in ("requeued", "failed", "due", "recovered", "refused")
            if (ids := getattr(report, name))
        }
        if done.keys() - {"due"}:
            _log.warning("reaper.recovered", **done)
        elif done:
            _log.info("reaper.enqueued", **done)
