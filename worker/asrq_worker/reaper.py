"""The reaper: brings back what dead workers held and what waits for its time, so that every job ends.

Any number may run; one leads. Every effect is a script that looks again before it acts, so a second leader or a
race with a live worker does no harm.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.worker_registration import clean_worker_registry

from asrq_jobs import keys, scripts
from asrq_jobs import policy as policies
from asrq_jobs.errors import RequestError
from asrq_jobs.request import LANES
from asrq_jobs.result import Attempt
from asrq_jobs.settings import Settings
from asrq_worker import faults, guard, quarantine, reports
from asrq_worker.execution import Execution, forget, give_back, iso
from asrq_worker.logs import Log
from asrq_worker.policy import Outcome, verdict
from asrq_worker.recovery import gone, lost, stuck

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
        self._forget_hosts()
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
        execution = replace(execution, worker=raw.get(b"worker_name", b"").decode(errors="replace"))
        if not raw:
            pipe = self._redis.pipeline(transaction=True)
            forget(pipe, execution)
            pipe.execute()
            return
        try:
            request = guard.admit(job_id, execution.lane, raw, self._redis)
        except RequestError as error:
            ttl_s = self._settings.failure_ttl_s
            quarantine.refuse(self._redis, job_id, execution.lane, raw, error, ttl_s=ttl_s, lapsed=execution)
            findings.refused.append(job_id)
            return
        before = raw.get(b"attempts_before", b"0")
        ended = lost(
            execution,
            request,
            self._attempts(execution, now),
            self._settings,
            earlier=int(before) if before.isdigit() else 0,
            created_at=raw.get(b"created_at", b"").decode() or None,
            now=now,
        )
        if ended.verdict is None:
            return
        faults.reach("recovering")
        kept = execution.end(
            self._redis,
            ended.verdict,
            audio=request.audio,
            blob_ttl_s=self._settings.blob_ttl_s,
            event=ended.event,
            attempt=ended.attempt,
            result=ended.result,
            ttl_s=ended.ttl_s,
            lapsed_by=now,
        )
        faults.reach("recovered")
        if kept:
            (findings.requeued if ended.verdict == "front" else findings.failed).append(job_id)

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

    def _forget_hosts(self) -> None:
        """Forget workers that were killed: nobody else takes their announcement back."""
        announced = cast("dict[bytes, bytes]", self._redis.hgetall(keys.HOSTS))
        hosts = {name.decode(errors="replace"): status.decode(errors="replace") for name, status in announced.items()}
        registered = cast("set[bytes]", self._redis.smembers(keys.RQ_WORKERS))
        slots = {key.decode(errors="replace").removeprefix(keys.rq_worker("")) for key in registered}
        dead = gone(hosts, slots, now=self._clock())
        if dead and self._redis.hdel(keys.HOSTS, *dead):
            _log.warning("hosts.forgotten", hosts=",".join(sorted(dead)))

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
