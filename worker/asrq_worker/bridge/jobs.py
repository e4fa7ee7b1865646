"""The jobs that the bridge has accepted: they wait in lanes, run in slots, and end in exactly one result each."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from asrq_jobs import __version__
from asrq_jobs.errors import (
    AsrqError,
    CanceledError,
    JobConflictError,
    JobNotFoundError,
    NotServedError,
    QueueFullError,
    ShutdownError,
)
from asrq_jobs.events import Event
from asrq_jobs.request import BlobAudio, LiveAudio, PathAudio, Request
from asrq_jobs.result import Attempt, Result, WorkerInfo
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_worker.backends.base import Transcript
from asrq_worker.bridge import messages
from asrq_worker.bridge.dictations import Dictations
from asrq_worker.job import ending as endings
from asrq_worker.job.attempt import Task, log_end
from asrq_worker.job.context import JobContext
from asrq_worker.job.control import JobControl
from asrq_worker.job.pipeline import Pipeline
from asrq_worker.process.stdio import Message
from asrq_worker.process.supervision import Supervised
from asrq_worker.storage.spool import discard
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.bridge")

Send = Callable[[Message], None]

_LOOK_S = 1.0


class _InFlight:
    """A job in flight. `stop` may come from any thread at any time, between two attempts too."""

    def __init__(self, request: Request, upload: Path | None) -> None:
        """`upload`: the file with the bytes of a request that names a blob; ours to delete."""
        self.request = request
        self.upload = upload
        self.accepted_at = iso(time.time())
        self.taken = False  # by a slot, or ended before one could; guarded by the lock of `Jobs`
        self._lock = threading.Lock()
        self._control = JobControl()
        self._reason: AsrqError | None = None

    def begin(self) -> JobControl:
        """Return the control of a new attempt."""
        with self._lock:
            self._control = JobControl()
            if self._reason:
                self._control.stop(self._reason)
            return self._control

    def stop(self, reason: AsrqError) -> None:
        """End this attempt soon, and every later one."""
        with self._lock:
            self._reason = self._reason or reason
            self._control.stop(reason)

    def for_pipeline(self) -> Request:
        """Return the request with its audio where the pipeline finds it."""
        if self.upload is None:
            return self.request
        return self.request.model_copy(update={"audio": PathAudio(path=str(self.upload))})

    def named(self, result: Result) -> Result:
        """Return the result with the name that the request gave to uploaded audio."""
        if result.audio is None or not isinstance(self.request.audio, BlobAudio):
            return result
        audio = result.audio.model_copy(update={"name": self.request.audio.name})
        return result.model_copy(update={"audio": audio})


class _Journal:
    """Sends events; keeps finished chunks for a later attempt in this process."""

    def __init__(self, job_id: str, send: Send) -> None:
        self._job_id = job_id
        self._send = send
        self._chunks: dict[str, Transcript] = {}

    def event(self, event: Event) -> None:
        self._send(messages.event(self._job_id, event))

    def conclude(self, *events: Event) -> None:
        for event in events:
            self.event(event)

    def reuse(self, key: str) -> None:
        pass

    def load(self) -> dict[str, Transcript]:
        return self._chunks

    def save(self, key: str, transcript: Transcript, *events: Event) -> None:
        self._chunks[key] = transcript
        self.conclude(*events)


class Jobs:
    """Runs jobs on the pipeline, with slots per lane as in a worker.

    `check` and `add` are for one thread, that which accepts requests; the rest is thread-safe.
    """

    def __init__(self, pipeline: Pipeline, settings: Settings, send: Send, dictations: Dictations) -> None:
        self._dictations = dictations
        self._pipeline = pipeline
        self._settings = settings
        self._send = send
        host = socket.gethostname()
        self._worker = WorkerInfo(name=settings.worker_name or host, host=host, pid=os.getpid(), version=__version__)
        self._task = Task(pipeline, settings, self._worker)
        self._changed = threading.Condition()
        self._in_flight: dict[str, _InFlight] = {}
        self._waiting: dict[str, deque[_InFlight]] = {lane: deque() for lane, slots in settings.slots.items() if slots}
        self._unsent = 0  # jobs whose result has not been written
        self._ending = False

    def start(self) -> None:
        """Begin to run jobs; what was added before has waited."""
        for lane in self._waiting:
            for number in range(1, self._settings.slots[lane] + 1):
                Supervised(f"{lane}.{number}", functools.partial(self._serve, lane)).start()

    def check(self, request: Request) -> None:
        """Say whether a request can be added.

        Raises:
            NotServedError: its lane has no slots.
            JobConflictError: a job with its id is in flight.
            QueueFullError: too many wait in its lane.
        """
        with self._changed:
            waiting = self._waiting.get(request.lane)
            if waiting is None:
                raise NotServedError(
                    f"The lane {request.lane!r} has no slots here.",
                    hint=f"Lanes: {', '.join(self._waiting)}. See the option --lanes.",
                )
            if request.id in self._in_flight:
                raise JobConflictError(
                    f"A job with the id {request.id!r} is in flight.", hint="Use another id, or wait for its result."
                )
            if len(waiting) >= self._settings.lane_depth:
                raise QueueFullError(
                    f"{len(waiting)} jobs wait in the lane {request.lane!r}.", hint="Wait for a result first."
                )

    def add(self, request: Request, upload: Path | None) -> None:
        """Accept a request that `check` has passed; `upload` is the file with its bytes, if it names a blob.

        Raises:
            ShutdownError: `stop_all` was called.
        """
        job = _InFlight(request, upload)
        with self._changed:
            if self._ending:
                raise ShutdownError("The bridge is ending.")
            waiting = self._waiting[request.lane]
            depth = len(waiting) + 1
            self._in_flight[request.id] = job
            if isinstance(request.audio, LiveAudio):
                self._dictations.begin(request.id, request.audio)
            self._unsent += 1
        queued = Event(type="queued", at=time.time(), lane=request.lane, depth=depth)
        self._send(messages.event(request.id, queued))
        with self._changed:
            if not job.taken:
                waiting.append(job)
                self._changed.notify_all()

    def cancel(self, job_id: str) -> None:
        """End a job.

        Raises:
            JobNotFoundError: none with this id is in flight.
        """
        if not self._stop(job_id, CanceledError("Canceled.")):
            raise JobNotFoundError(f"No job with the id {job_id!r} is in flight.", hint="It may have just ended.")

    def stop_all(self, reason: AsrqError) -> None:
        """End all jobs and wait until the result of each has been written."""
        with self._changed:
            self._ending = True
            here = list(self._in_flight)
        for job_id in here:
            self._stop(job_id, reason)
        with self._changed:
            self._changed.wait_for(lambda: self._unsent == 0)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many jobs wait and run, by lane."""
        with self._changed:
            waiting = {lane: len(jobs) for lane, jobs in self._waiting.items()}
            lanes: list[str] = [job.request.lane for job in self._in_flight.values()]
        return {"waiting": waiting, "running": {lane: lanes.count(lane) - here for lane, here in waiting.items()}}

    def _stop(self, job_id: str, reason: AsrqError) -> bool:
        with self._changed:
            job = self._in_flight.get(job_id)
            if job is None:
                return False
            begun, job.taken = job.taken, True
            if job in (waiting := self._waiting[job.request.lane]):
                waiting.remove(job)
        if begun:
            job.stop(reason)
        else:
            failure = self._pipeline.failure(job.request, reason)
            ending = endings.of_job(
                failure, self._settings, at=time.time(), request=job.request, created_at=job.accepted_at
            )
            assert ending.result is not None  # noqa: S101  # a job that ends has one
            self._end(job, ending.result)
            _log.info("job.not_begun", id=job_id, lane=job.request.lane, code=reason.code)
        return True

    def _serve(self, lane: str) -> None:
        waiting = self._waiting[lane]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: waiting)
                job = waiting.popleft()
                job.taken = True
            self._end(job, self._run(job))

    def _run(self, job: _InFlight) -> Result:
        journal = _Journal(job.request.id, self._send)
        request, enqueued_at = job.for_pipeline(), job.accepted_at
        attempts: list[Attempt] = []
        while True:
            control = job.begin()
            number, now = len(attempts) + 1, time.time()
            attempts.append(Attempt(number=number, worker=self._worker.name, started_at=iso(now)))
            journal.event(Event(type="started", at=now, lane=request.lane, attempt=number, worker=self._worker.name))
            context = JobContext(request, tuple(attempts), created_at=job.accepted_at, enqueued_at=enqueued_at)
            ending = self._task.run(context, control, journal)
            log_end(context, ending)
            if ending.result is not None:
                return ending.result
            journal.event(ending.event)
            control.wake.wait(ending.delay_s)
            if ending.attempt is not None:
                attempts[-1] = ending.attempt
            else:  # there was no room for it, which costs no attempt
                attempts.pop()
                while self._pipeline.storage.problem() is not None and not control.wake.wait(_LOOK_S):
                    pass
            enqueued_at = iso(time.time())

    def _end(self, job: _InFlight, result: Result) -> None:
        if job.upload is not None:
            discard(job.upload)
        self._dictations.forget(job.request.id)
        with self._changed:
            del self._in_flight[job.request.id]  # first, so that the id is free when the application reads the result
        self._send(messages.result(job.named(result)))
        with self._changed:
            self._unsent -= 1
            self._changed.notify_all()
