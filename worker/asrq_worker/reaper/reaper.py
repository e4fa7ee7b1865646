"""The reaper: brings back what dead workers held and what waits for its time, so that every job ends.

Any number may run; one leads. Every effect looks again before it acts, so a second leader or a race with a live worker
does no harm. It sees all that is held and due at each look, and everything else (jobs on no list, what is left of jobs
that are gone) a part at a time.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from asrq_jobs import keys
from asrq_jobs.request import LANES
from asrq_jobs.settings import Settings
from asrq_worker.queue import clock as clocks
from asrq_worker.queue import functions, shared_keys
from asrq_worker.queue.loop import Loop, end
from asrq_worker.queue.outage import Outage
from asrq_worker.reaper import rollback
from asrq_worker.reaper.findings import DOUBTFUL, Finding, confirmed, inspect, lapsed
from asrq_worker.reaper.recovery import recover
from asrq_worker.reaper.repairs import repair
from asrq_worker.reaper.scanner import Scanner
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.reaper")

_MOST = 200  # lapsed leases recovered in one round, so that a round stays short
_ENDED: tuple[keys.Registry, ...] = ("finished", "failed", "canceled")
_EXPECTED: frozenset[str] = frozenset({"due", "renewed", "told"})  # part of the life of a sound queue


@dataclass(frozen=True)
class Round:
    """What one round did, or would do: ids of jobs, unless it says otherwise."""

    leading: bool
    requeued: tuple[str, ...] = ()
    """Their worker died; they run again."""
    failed: tuple[str, ...] = ()
    """Their worker died and their attempts are used up."""
    canceled: tuple[str, ...] = ()
    """Their worker died, and they were to be canceled."""
    refused: tuple[str, ...] = ()
    """Their worker died, and they are not readable as jobs of ours."""
    due: tuple[str, ...] = ()
    """Delayed retries whose time came."""
    recovered: tuple[str, ...] = ()
    """Dequeued and never started: back at the front of their lane."""
    expired: tuple[str, ...] = ()
    """Nobody took them in time: failed."""
    reconciled: tuple[str, ...] = ()
    """Not where their status said, or kept too long or not long enough: put right."""
    returned: tuple[str, ...] = ()
    """What jobs needed (`routing.Need`) that waited though no worker for it is registered: they are in their lane."""
    renewed: tuple[str, ...] = ()
    """Uploads (sha256) that a job still waits for, or that would have stayed forever."""
    forgotten: tuple[str, ...] = ()
    """Executions (leases) of no job that is started."""
    slots: tuple[str, ...] = ()
    """RQ workers whose registration was left over."""
    workers: tuple[str, ...] = ()
    """Workers that were killed long ago."""
    counted: tuple[str, ...] = ()
    """Had ended, or were gone, and their groups waited for them: counted."""
    told: tuple[str, ...] = ()
    """Groups that have ended: a webhook is on its way to say so."""
    rolled_back: tuple[str, ...] = ()
    """Backends that were on trial and failed it."""
    damaged: tuple[str, ...] = ()
    """Keys that all jobs share and that held another type: moved out of the way."""
    suspected: tuple[str, ...] = ()
    """What looked wrong, and is repaired if it looks so for the length of a lease."""


class Reaper:
    """Looks every `reaper_interval_s`; leads while it holds `asrq:reaper:leader`."""

    def __init__(
        self,
        redis: Redis,
        settings: Settings,
        *,
        clock: Callable[[], float] | None = None,
        observe: Callable[[Round], None] = lambda _report: None,
    ) -> None:
        """`observe` is told of each round when it runs by itself; `clock` is asked for the time instead of Redis."""
        self._redis = redis
        self._observe = observe
        self._settings = settings
        self._clock = clock or partial(clocks.ask, redis)
        self._token = uuid.uuid4().hex
        self._outage = Outage()
        self._looked_at = inf
        self._leases_counted = True
        self._leases_count_from = 0.0
        self._scanner = Scanner(redis)
        self._doubts: dict[Finding, float] = {}
        self.loop = Loop(
            "reaper",
            self._round,
            self._outage,
            _log,
            longest_pause_s=settings.reaper_interval_s,
            finish=self.resign,
        )

    def start(self) -> None:
        """Run in a thread of its own."""
        self.loop.start()

    def close(self) -> None:
        """Stop, and let another lead at once."""
        end([self.loop], self._redis, self._settings)

    def __enter__(self) -> Reaper:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def resign(self) -> None:
        """Let another lead at once; it would, anyway, some seconds after the last round.

        Raises:
            redis.exceptions.RedisError: Redis does not answer.
        """
        if cast("bytes | None", self._redis.get(keys.LEADER)) == self._token.encode():
            self._redis.delete(keys.LEADER)

    def run_once(self, *, whole: bool = False, dry_run: bool = False, now: float | None = None) -> Round:
        """Look once and repair; `whole` looks at everything at once, `dry_run` only says what would be done.

        All of it goes by one time: `now` if Redis has told it already.

        Raises:
            redis.exceptions.RedisError: Redis does not answer.
        """
        now = self._clock() if now is None else now
        types = {
            **shared_keys.TYPES,
            **{keys.waiting(*apart): "list" for apart in shared_keys.lists_apart(self._redis)},
        }
        damaged = (
            tuple(shared_keys.wrong_types(self._redis, types)) if dry_run else shared_keys.set_aside(self._redis, types)
        )
        if not dry_run and not self._lead():
            self._doubts.clear()  # doubts count from now on: another reaper has led meanwhile
            return Round(leading=False, damaged=damaged)
        again = {finding.subject for finding in self._doubts if finding.kind == "reconciled"}
        seen = self._scanner.look(again, now=now, whole=whole)
        done: dict[str, list[str]] = {}
        if now >= self._leases_count_from:
            for execution in lapsed(seen)[:_MOST]:
                with self._apart(execution.job_id):
                    if outcome := recover(self._redis, execution, self._settings, now=now, dry_run=dry_run):
                        done.setdefault(outcome, []).append(execution.job_id)
        for finding in self._sure(inspect(seen, blob_ttl_s=self._settings.blob_ttl_s), now):
            with self._apart(finding.subject):
                if dry_run or repair(self._redis, finding, self._settings, now=now):
                    done.setdefault(finding.kind, []).append(finding.subject)
        with self._apart(keys.POLICY):
            if backend := rollback.judge(self._redis, now=now, dry_run=dry_run):
                done["rolled_back"] = [backend]
        if not dry_run:
            self._tidy(now)
        suspected = sorted(finding.subject for finding in self._doubts)
        found = {kind: tuple(ids) for kind, ids in done.items()}
        return Round(True, **found, damaged=damaged, suspected=tuple(suspected))

    def _sure(self, found: list[Finding], now: float) -> list[Finding]:
        doubtful = {finding for finding in found if finding.kind in DOUBTFUL}
        late, self._doubts = confirmed(self._doubts, doubtful, now=now, after_s=self._settings.lease_s)
        return [finding for finding in found if finding.kind not in DOUBTFUL] + sorted(late)

    @contextmanager
    def _apart(self, subject: str) -> Iterator[None]:
        """Keep one odd thing, such as a key of another type, from stopping the repair of the others."""
        try:
            yield
        except (RedisError, OSError) as error:
            if type(error) is not ResponseError:  # its subclasses (read-only, out of memory, …) concern every command
                raise
            _log.warning("reaper.refused", subject=subject, reason=str(error)[:200])
        except Exception as error:  # noqa: BLE001  # see above
            _log.defect("reaper.defect", error, job_id=subject)

    def _lead(self) -> bool:
        for_ms = int(max(10.0, self._settings.reaper_interval_s * 3) * 1000)
        if self._redis.set(keys.LEADER, self._token, nx=True, px=for_ms):
            return True
        mine = cast("bytes | None", self._redis.get(keys.LEADER)) == self._token.encode()
        if mine or not 0 <= self._redis.pttl(keys.LEADER) <= for_ms:  # nobody is to lead for good without looking
            self._redis.pexpire(keys.LEADER, for_ms)
        return mine

    def _tidy(self, now: float) -> None:
        """Forget registry entries that have lapsed, as RQ's maintenance would, and webhooks that nobody delivers;
        and bring back what clients call, should the server have lost it."""
        for lane in LANES:
            for kind in _ENDED:
                with self._apart(keys.registry(kind, lane)):
                    self._redis.zremrangebyscore(keys.registry(kind, lane), 0, now)
        functions.publish(self._redis, replace=False)
        with self._apart(keys.RQ_QUEUES):
            for apart in shared_keys.lists_apart(self._redis):
                shared_keys.forget_if_empty(self._redis, keys.waiting(*apart))
        with self._apart(keys.WEBHOOKS):
            if dropped := self._redis.zremrangebyscore(keys.WEBHOOKS, "-inf", now - self._settings.failure_ttl_s):
                _log.error("webhooks.dropped", count=dropped, reason="no reaper has a webhook secret")

    def _round(self) -> float:
        try:
            now = self._clock()
            self._notice_standstill(now)
            report = self.run_once(now=now)
            self._log(report)
            with self._apart("metrics"):
                self._observe(report)
            self._leases_counted = self._looked_at >= self._leases_count_from
            self._outage.over()
        except (RedisError, OSError):
            self._count_anew()
            raise
        return self._settings.reaper_interval_s

    def _notice_standstill(self, now: float) -> None:
        """Count leases anew if Redis or this machine has stood still since the last look, or the clock of Redis has
        jumped: no error tells of that."""
        late_s = now - self._looked_at - self._settings.reaper_interval_s
        if late_s > self._settings.lease_s / 3:
            _log.warning("reaper.late", by_s=round(late_s, 1))
            self._count_anew()
        if self._leases_count_from == inf:
            self._leases_count_from = now + self._settings.lease_s
        self._looked_at = now

    def _count_anew(self) -> None:
        """Nobody could renew meanwhile: that is no sign of death, and work that is done can still be handed in.

        Not twice in a row: outages that come and go must not keep the dead from being found.
        """
        if self._leases_counted:
            self._leases_count_from = inf  # until Redis tells the time again
            self._doubts.clear()

    def _log(self, report: Round) -> None:
        done = {
            name: len(found)
            for name, found in vars(report).items()
            if found and name not in {"leading", "suspected", "rolled_back"}
        }
        if done.keys() - _EXPECTED:
            _log.warning("reaper.repaired", **done)
        elif done:
            _log.info("reaper.enqueued", **done)
