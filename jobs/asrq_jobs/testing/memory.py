"""A queue in memory, for one test: what it answers is what Redis answers, with the same errors."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from asrq_jobs import calls
from asrq_jobs.errors import (
    AsrqError,
    BlobMissingError,
    JobConflictError,
    JobNotFoundError,
    JobStateError,
)
from asrq_jobs.events import Entry, Event
from asrq_jobs.request import BlobAudio, Lane, LiveAudio, Request
from asrq_jobs.result import Attempt, Result
from asrq_jobs.states import JobState, Status, Submitted, missing
from asrq_jobs.testing.groups import Groups
from asrq_jobs.testing.worker import NAME, Answer, Execution, Worker
from asrq_jobs.timestamp import iso


@dataclass
class KeptJob:
    """What is known of one job; `moved` grows with each change of status of any job."""

    request: Request
    moved: int = 0
    status: Status = "queued"
    execution_id: str | None = None
    entries: list[Entry] = field(default_factory=list)
    attempts: tuple[Attempt, ...] = ()
    result: Result | None = None
    enqueued_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    sound: bytes = b""
    frames: int = 0
    recorded: bool = False
    """Whether a live job has its end mark."""

    def tell(self, event: Event) -> None:
        """Add an event."""
        self.entries.append(Entry(f"{len(self.entries) + 1}-0", event))


class Memory:
    """Jobs by id, the uploads by their sha256. Thread-safe; `changed` tells of each change."""

    def __init__(self, answer: Answer | None = None) -> None:
        """`answer`: ends each job as soon as its audio is there; None: the test does it."""
        self.changed = threading.Condition()
        self.uploads: dict[str, bytes] = {}
        self.refusal: AsrqError | None = None
        """What every call raises, None for nothing: so a test can have the queue away or full."""
        self.worker = _MemoryWorker(self)
        self.groups = Groups()
        self._answer = answer
        self._jobs: dict[str, KeptJob] = {}
        self._moves = 0

    def find(self, job_id: str) -> KeptJob:
        """Return a job.

        Raises:
            JobNotFoundError: there is none.
        """
        self.reach()
        if job_id not in self._jobs:
            raise missing(job_id)
        return self._jobs[job_id]

    def reach(self) -> None:
        """Raise what every call is to raise."""
        if self.refusal is not None:
            raise self.refusal

    def submit(self, request: Request) -> Submitted:
        """Take a job; idempotent on its id."""
        with self.changed:
            self.reach()
            if (known := self._jobs.get(request.id)) is not None:
                if known.request != request:
                    raise JobConflictError(f"The job id {request.id} is taken by a different request.")
                return Submitted(id=request.id, status=known.status, created=False)
            if isinstance(request.audio, BlobAudio) and request.audio.sha256 not in self.uploads:
                raise BlobMissingError("The uploaded audio is not there (never uploaded, or expired).")
            self.groups.join(request.id, request.group)
            job = self._jobs[request.id] = KeptJob(request)
            depth = self._queue(job)
        self._answer_if_whole(job)
        return Submitted(id=request.id, status="queued", created=True, depth=depth)

    def state(self, job_id: str) -> JobState:
        """Return the state of a job."""
        with self.changed:
            job = self.find(job_id)
            waits = list(self.of("queued", job.request.lane))
            return JobState(
                id=job_id,
                status=job.status,
                lane=job.request.lane,
                position=waits.index(job) + 1 if job in waits else None,
                attempt=len(job.attempts),
                worker=NAME if job.status == "processing" else None,
                enqueued_at=job.enqueued_at,
                started_at=job.started_at,
                ended_at=job.ended_at,
                error=job.result.error if job.result else None,
                metadata=job.request.metadata,
                tags=job.request.tags,
            )

    def of(self, status: Status, lane: Lane) -> Iterator[KeptJob]:
        """Yield the jobs of a lane and status: those that wait in their order, others the newest first."""
        found = [job for job in self._jobs.values() if (job.status, job.request.lane) == (status, lane)]
        yield from sorted(found, key=lambda job: job.moved if status == "queued" else -job.moved)

    def cancel(self, job_id: str) -> bool:
        """Cancel a job that waits; True for one that is running, for its worker to cancel."""
        with self.changed:
            job = self.find(job_id)
            if job.result is not None:
                raise JobStateError(f"Job {job_id} has already ended.")
            if job.status == "processing":
                return True
            at, labels = time.time(), job.request
            told = {"metadata": labels.metadata, "tags": labels.tags}
            event = Event(type="canceled", at=at, metadata=labels.metadata or None, tags=labels.tags or None)
            self._end(job, event, calls.canceled(job_id, iso(at)).model_copy(update=told))
            return False

    def retry(self, job_id: str) -> None:
        """Put a failed or canceled job back into its lane."""
        with self.changed:
            job = self.find(job_id)
            if job.status not in {"failed", "canceled"}:
                raise JobStateError(f"Job {job_id} is {job.status}; only a failed or canceled job can be retried.")
            job.result, job.ended_at = None, None
            self.groups.join(job_id, job.request.group)
            self._queue(job)
        self._answer_if_whole(job)

    def remove(self, job_id: str, *, upload: bool) -> None:
        """Forget a job, and its upload unless another job names it."""
        with self.changed:
            request = self.find(job_id).request
            audio = request.audio
            self.groups.settle(job_id, request.group, "canceled")
            del self._jobs[job_id]
            needed = any(job.request.audio == audio for job in self._jobs.values())
            if upload and isinstance(audio, BlobAudio) and not needed:
                self.uploads.pop(audio.sha256, None)
            self.changed.notify_all()

    def append(self, job_id: str, number: int, kind: str, frame: bytes) -> int:
        """Take a frame of a live job, or its end mark; return the number of the last one that is there."""
        with self.changed:
            job = self.find(job_id)
            if job.result is not None:
                raise JobStateError(f"Job {job_id} has ended.")
            if number <= job.frames and not (job.recorded and number == job.frames and kind == "audio"):
                return job.frames
            if job.recorded:
                raise JobStateError(f"The recording of job {job_id} has ended.")
            if number > job.frames + 1:
                return job.frames
            job.sound, job.frames, job.recorded = job.sound + frame, number, kind != "audio"
        self._answer_if_whole(job)
        return number

    def _answer_if_whole(self, job: KeptJob) -> None:
        if self._answer is not None and (job.recorded or not isinstance(job.request.audio, LiveAudio)):
            self.worker.answer(self.worker.begin(job), self._answer)

    def _queue(self, job: KeptJob) -> int:
        at, lane = time.time(), job.request.lane
        self.move(job, "queued")
        job.enqueued_at = iso(at)
        depth = len(list(self.of("queued", lane)))
        job.tell(Event(type="queued", at=at, lane=lane, depth=depth))
        return depth

    def move(self, job: KeptJob, status: Status) -> None:
        """Change the status of a job."""
        self._moves += 1
        job.status, job.moved = status, self._moves
        self.changed.notify_all()

    def _end(self, job: KeptJob, event: Event, result: Result) -> None:
        job.result, job.ended_at, job.execution_id = result, result.completed_at, None
        if result.attempts:
            job.attempts = result.attempts
        job.tell(event)
        self.groups.settle(job.request.id, job.request.group, result.status)
        self.move(job, result.status)


class _MemoryWorker(Worker):
    """Begins and ends the jobs of a `Memory`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def begin_next(self, lane: Lane, within_s: float) -> Execution | None:
        """Begin the next job of a lane; None if none comes within so many seconds."""
        with self._memory.changed:
            if not self._memory.changed.wait_for(lambda: any(self._memory.of("queued", lane)), within_s):
                return None
            return self.begin(next(self._memory.of("queued", lane)))

    def begin(self, job: KeptJob) -> Execution:
        """Begin this job."""
        with self._memory.changed:
            at = time.time()
            attempt = Attempt(number=len(job.attempts) + 1, worker=NAME, started_at=iso(at))
            job.attempts, job.started_at, job.execution_id = (*job.attempts, attempt), iso(at), uuid.uuid4().hex
            job.tell(Event(type="started", at=at, attempt=attempt.number, worker=NAME))
            self._memory.move(job, "processing")
            return Execution(job.request, job.execution_id, job.attempts)

    def event(self, execution: Execution, event: Event) -> None:
        """Tell something of a job, such as a `progress` or a `chunk`."""
        with self._memory.changed:
            self._held(execution).tell(event)
            self._memory.changed.notify_all()

    def end(self, execution: Execution, event: Event, result: Result) -> None:
        """Write the end of a job."""
        with self._memory.changed:
            self._memory._end(self._held(execution), event, result)

    def _held(self, execution: Execution) -> KeptJob:
        try:
            job = self._memory.find(execution.job_id)
        except JobNotFoundError:
            job = None
        if job is None or job.execution_id != execution.execution_id:
            raise JobStateError(f"Job {execution.job_id} has ended, or is another worker's by now.")
        return job
