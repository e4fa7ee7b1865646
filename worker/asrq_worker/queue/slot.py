"""A slot: a thread that is an RQ worker on one lane. It waits on Redis and on the pipeline, and computes nothing."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from rq.suspension import is_suspended
from rq.worker.base import WorkerStatus

from asrq_jobs import keys
from asrq_jobs.errors import AsrqError, CanceledError, MalformedJobError, RequestError
from asrq_jobs.request import Request
from asrq_jobs.rq import JobHash
from asrq_jobs.settings import Settings
from asrq_worker.job.attempt import Task, log_end
from asrq_worker.job.context import JobContext
from asrq_worker.job.control import JobControl
from asrq_worker.job.ending import Ending
from asrq_worker.queue import calls, clock, faults, guard, quarantine
from asrq_worker.queue.execution import Beginning, Execution, give_back
from asrq_worker.queue.expiry import expire
from asrq_worker.queue.journal import RedisJournal
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.queue.loop import Loop
from asrq_worker.queue.router import Router, pass_on
from asrq_worker.queue.rq_worker import RqWorker
from asrq_worker.telemetry.logs import Log

Observe = Callable[[JobContext, Ending], None]

_log = Log("asrq.slot")

_BLOCK_S = 1.0  # how long one BLMOVE waits at most, and so how soon a stop is noticed
_PAUSE_S = 1.0
_PATIENCE_S = 60.0  # a job's thread looks at its control some times a second; more only if something hangs it up


class Slot(RqWorker):
    """Takes jobs from one lane and runs them, one at a time, until stopped.

    RQ gives registration, heartbeats and suspension (`RqWorker`). The dequeue is its own command (one queue: BLMOVE
    into the intermediate list), with what is stored of the job in the same round trip. Beginning and ending an
    execution are our scripts, each one step: see docs/explanation/decisions.
    """

    def __init__(
        self,
        lane: str,
        name: str,
        redis: Redis,
        task: Task,
        keeper: LeaseKeeper,
        router: Router,
        settings: Settings,
        observe: Observe = lambda _context, _ending: None,
        blocked: Callable[[], object] = lambda: None,
    ) -> None:
        """`observe` is told of each attempt that has ended, after that is written; `blocked` says why to take none."""
        super().__init__(lane, name, redis, lease_s=settings.lease_s)
        self._task = task
        self._keeper = keeper
        self._router = router
        self._settings = settings
        self._observe = observe
        self._blocked = blocked
        self._block_s = min(_BLOCK_S, settings.redis_timeout_s / 2)  # what waits is not to look like an outage
        self._hurrying = threading.Event()
        self.loop = Loop(name, self._step, keeper.outage, _log, kind="slot", finish=self.deregister)
        self._stopping = self.loop.stopping

    def hurry(self) -> None:
        """Wait for an outage no longer: what Redis does not take at once is left for others to do again."""
        self._hurrying.set()

    def _step(self) -> float:
        try:
            if not self.registered:
                self.register()
            self._serve_one()
        finally:
            self.loop.busy = False
        self._keeper.outage.over()
        return 0.0

    def _take(self) -> tuple[str, dict[bytes, bytes] | None] | None:
        """Dequeue an id, and read what is stored of its job if that takes no more time; None if none came in time, or
        none is to be taken."""
        if self._blocked():
            self._stopping.wait(_PAUSE_S)
            return None
        if is_suspended(self._redis):
            self.set_state(WorkerStatus.SUSPENDED)
            self._stopping.wait(_PAUSE_S)
            return None
        if self.get_state() != WorkerStatus.IDLE:
            self.set_state(WorkerStatus.IDLE)
        raw_id, raw = self._router.dequeue_apart(self.lane), None
        if raw_id is None:
            raw_id, raw = calls.dequeue(self._redis, self.lane, within_s=self._block_s)
            if raw_id is None:
                return None
        self.loop.busy = True  # first, so that a stop either sees it or is seen below
        try:
            job_id = raw_id.decode()
        except UnicodeDecodeError:  # no id, and so no job
            self._redis.lrem(keys.intermediate(self.lane), 1, raw_id)  # type: ignore[arg-type]  # bytes as they came
            return None
        faults.reach("dequeued")
        if self._stopping.is_set():  # it came while the last BLMOVE was still waiting
            give_back(self._redis, job_id, self.lane)
            return None
        return job_id, raw

    def _serve_one(self) -> None:
        taken = self._take()
        if taken is None:
            return
        job_id, found = taken
        execution = Execution(job_id, uuid.uuid4().hex, self.lane, self.name)
        raw: dict[bytes, bytes] = {}
        try:
            raw = found or self._read(job_id)
            if not raw:
                give_back(self._redis, job_id, self.lane)  # or drop it, unless it was submitted in this moment
                return
            request = guard.admit(job_id, self.lane, raw, self._redis)
            if self._leave(request, raw):
                return
            self._state = WorkerStatus.BUSY  # as RQ's `set_state`, without a round trip of its own
            busy = ("HSET", self.key, "state", WorkerStatus.BUSY.value)
            begun = execution.begin(self._redis, lease_s=self._settings.lease_s, first=[busy])
        except RequestError as error:
            self._refuse(execution, raw, error)
            return
        except ResponseError as error:
            if not self._refuse_wrong_type(execution, error):
                raise
            return
        if begun.verdict != "started":
            _log.info("job.not_begun", id=job_id, reason=begun.verdict)
            return
        faults.reach("begun")
        job = JobHash.read(raw)
        context = JobContext(request, begun.attempts, begun.earlier, job.created_at, job.enqueued_at, begun.now)
        with ExitStack() as tidying:
            self._serve(execution, context, begun, JobControl(patience_s=_PATIENCE_S, afterwards=tidying.callback))

    def _serve(self, execution: Execution, context: JobContext, begun: Beginning, control: JobControl) -> None:
        """Make an attempt at a job that has begun."""
        if begun.canceled:
            control.stop(CanceledError("Canceled before it ran."))
        wanted = self._keeper.hold(execution, control)
        try:
            if wanted:  # a message came between `begin` and `hold`
                self._look_again()
            journal = RedisJournal(self._redis, execution, self._settings, begun.now, kept=begun.kept)
            ending = self._task.run(context, control, journal)
            try:
                kept = self._end(execution, context.request, ending, control, journal)
            except CanceledError as error:
                ending = self._task.canceled(context, error)
                kept = self._end(execution, context.request, ending, control, journal)
            if not kept:
                ending = replace(ending, verdict=None)
        finally:
            self._keeper.release(execution)
        log_end(context, ending)
        self._observe(context, ending)
        pipe = self._redis.pipeline(transaction=False)
        self.count_attempt(pipe, ending)
        self.set_state(WorkerStatus.IDLE, pipeline=pipe)
        pipe.execute(raise_on_error=False)  # a counter of the wrong type must not look like an outage

    def _read(self, job_id: str) -> dict[bytes, bytes]:
        return cast("dict[bytes, bytes]", self._redis.hgetall(keys.job(job_id)))

    def _leave(self, request: Request, raw: dict[bytes, bytes]) -> bool:
        """Whether a job that was dequeued does not begin here: it has waited for too long, or is for another worker."""
        if request.queue_ttl_s is not None and self._expire(request, raw):
            _log.info("job.expired", id=request.id, lane=self.lane)
            return True
        if self._router.passes_on(request):
            pass_on(self._redis, request)
            faults.reach("passed_on")
            return True
        return False

    def _expire(self, request: Request, raw: dict[bytes, bytes]) -> bool:
        now = clock.ask(self._redis)
        return expire(self._redis, request, self._settings, created_at=JobHash.read(raw).created_at, now=now)

    def _look_again(self) -> None:
        """Stop what is to be canceled, or was erased; while Redis is away, the lease keeper will find out."""
        try:
            self._keeper.keep()
        except (RedisError, OSError) as error:
            self._keeper.outage.failed(error)

    def _refuse(self, execution: Execution, raw: dict[bytes, bytes], error: AsrqError) -> None:
        _log.warning("job.refused", id=execution.job_id, lane=self.lane, code=error.code)
        quarantine.refuse(self._redis, execution.job_id, self.lane, raw, error, self._settings, lapsed=execution)

    def _refuse_wrong_type(self, execution: Execution, error: ResponseError) -> bool:
        """End a job that has a key of the wrong type, as it can neither begin nor end; False for others."""
        if not quarantine.holds_wrong_type(self._redis, execution.job_id, error):
            return False
        _log.warning("job.refused", id=execution.job_id, lane=self.lane, code=MalformedJobError.code)
        quarantine.refuse_wrong_type(self._redis, execution.job_id, self.lane, self._settings, lapsed=execution)
        return True

    def _end(
        self, execution: Execution, request: Request, ending: Ending, control: JobControl, journal: RedisJournal
    ) -> bool:
        """Write the end; False if another execution has the job, or it has ended.

        While Redis is away, keep trying until told to hurry: the work is done.

        Raises:
            CanceledError: it is not to be given back, but to be canceled.
        """
        if ending.verdict is None:
            return False
        faults.reach(f"ending.{ending.verdict}")
        # After any other end, what they tell of is to be heard, and told, again.
        events = journal.concluding() if ending.verdict == "completed" else []
        waited = False
        while True:
            control.moved()  # however long Redis is away
            try:
                kept = execution.end(
                    self._redis, ending, audio=request.audio, blob_ttl_s=self._settings.blob_ttl_s, events=events
                )
            except (RedisError, OSError) as error:
                if isinstance(error, ResponseError) and self._refuse_wrong_type(execution, error):
                    return False
                if not waited:
                    _log.warning("commit.waiting", id=execution.job_id, reason=type(error).__name__)
                waited = True
                if self._hurrying.wait(self._keeper.outage.failed(error)):
                    raise
            else:
                if not kept:
                    _log.warning("commit.fenced", id=execution.job_id, verdict=ending.verdict)
                faults.reach(f"ended.{ending.verdict}")
                if kept and ending.erases:
                    self._erase(execution, ending)
                return kept

    def _erase(self, execution: Execution, ending: Ending) -> None:
        try:
            calls.erase(self._redis, execution.job_id, execution.lane, ending)
        except (RedisError, OSError) as error:  # it expires soon, and an upload in its time
            _log.warning("job.not_erased", id=execution.job_id, reason=type(error).__name__)
