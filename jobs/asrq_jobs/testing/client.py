"""A client that keeps jobs in memory, with the methods and errors of the real one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from asrq_jobs import configuration, uploads
from asrq_jobs.client import Client
from asrq_jobs.dead import DeadLetter
from asrq_jobs.errors import AsrqError, JobStateError, WaitTimeoutError
from asrq_jobs.events import Entry, Event
from asrq_jobs.groups import Group
from asrq_jobs.request import LANES, BlobAudio, Lane, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.states import STATUSES, JobState, Status, Submitted
from asrq_jobs.steps import Command, Script, Step, Together
from asrq_jobs.testing.groups import FakeGroup
from asrq_jobs.testing.memory import KeptJob, Memory
from asrq_jobs.testing.worker import Answer, Worker

_PATIENCE_S = 10.0
_LOOK_S = 0.05


class FakeClient(Client):
    """A `Client` whose queue is in memory. `worker` begins and ends its jobs, unless it was given an answer to all.

    `uploads` holds what was uploaded, by sha256. `refusal`, if set, is the error that each call raises.
    """

    def __init__(self, answer: Answer | None = None, *, config: Settings | None = None) -> None:
        """`answer` ends each job as it is submitted, a live one at its end; None: the test ends them by `worker`."""
        self.settings = config or configuration.load()
        self._memory = Memory(answer)

    @property
    def worker(self) -> Worker:
        """What begins and ends the jobs."""
        return self._memory.worker

    @property
    def uploads(self) -> dict[str, bytes]:
        """What was uploaded, by sha256."""
        return self._memory.uploads

    @property
    def refusal(self) -> AsrqError | None:
        """The error that each call raises, such as a `QueueUnreachableError`; None: none."""
        return self._memory.refusal

    @refusal.setter
    def refusal(self, error: AsrqError | None) -> None:
        self._memory.refusal = error

    def sound(self, job_id: str) -> bytes:
        """Return what a live job has been given so far."""
        return self._memory.find(job_id).sound

    def close(self) -> None:
        """Do nothing: jobs stay, so that a test can look at them."""

    def upload(self, audio: bytes | Path, *, name: str | None = None) -> BlobAudio:
        """Store audio in memory."""
        data, blob = uploads.prepare(audio, name, max_mb=self.settings.max_audio_mb)
        self._memory.reach()
        self._memory.uploads[blob.sha256] = data
        return blob

    def submit_request(self, request: Request, *, audio: BinaryIO | None = None) -> Submitted:
        """Submit a request as it is; idempotent on its id. With `audio`, the upload that it names is stored first."""
        if audio is not None and isinstance(request.audio, BlobAudio):
            audio.seek(0)
            self.upload(audio.read())
        return self._memory.submit(request)

    def submit_many(self, requests: Iterable[Request]) -> Iterator[Submitted | AsrqError]:
        """Submit requests, and yield in their order what became of each."""
        for request in requests:
            try:
                yield self._memory.submit(request)
            except AsrqError as error:
                self._memory.reach()
                yield error

    def state(self, job_id: str) -> JobState:
        """Return the state of a job."""
        return self._memory.state(job_id)

    def result(self, job_id: str, *, peek: bool = False) -> Result | None:
        """Return the result document, or None while there is none, or no such job."""
        self._memory.reach()
        found = next((job.result for job in self._all() if job.request.id == job_id), None)
        if found and found.erased_when_fetched and not peek:
            self.erase(job_id)
        return found

    def events(self, job_id: str, *, after: str = "0", timeout_s: float | None = None) -> Iterator[Event]:
        """Yield the job's events until a terminal one; without `timeout_s` for at most ten seconds without any."""
        seen, give_up_at = place(after), time.monotonic() + patience_s(timeout_s)
        while True:
            with self._memory.changed:
                job = self._memory.find(job_id)
                fresh, over = job.entries[seen:], job.result is not None
                if not (fresh or over) and not self._memory.changed.wait(max(0.0, give_up_at - time.monotonic())):
                    raise too_late(job_id, timeout_s)
            seen += len(fresh)
            for entry in fresh:
                yield entry.event
            if over:
                return

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> Result:
        """Wait until the job ends and return its result; without `timeout_s` for at most ten seconds."""
        with self._memory.changed:
            ended = self._memory.changed.wait_for(lambda: self._memory.find(job_id).result, patience_s(timeout_s))
            if not ended:
                raise too_late(job_id, timeout_s)
            result = self._memory.find(job_id).result
        assert result is not None  # noqa: S101  # it was just there
        return self.result(job_id) or result

    def group(self, group_id: str) -> Group:
        """Return a group of jobs; without `timeout_s` its end is waited for ten seconds at most."""

        def perform(step: Step) -> Any:
            with self._memory.changed:
                answer = self._perform(step)
                if isinstance(step, Together) and answer[0] is None:
                    self._memory.changed.wait(_LOOK_S)
                return answer

        return FakeGroup(group_id, self.settings, perform)

    def workers(self, *, stopped: bool = False) -> dict[str, Any]:
        """Return that no worker is there."""
        del stopped
        self._memory.reach()
        return {}

    def reaper(self) -> bool:
        """Return that no reaper is there."""
        self._memory.reach()
        return False

    def command(self, command: Literal["load", "unload"], backend: str) -> int:
        """Return that no worker has heard it."""
        del command, backend
        self._memory.reach()
        return 0

    def cancel(self, job_id: str) -> Literal["canceled", "requested"]:
        """Cancel a job: at once if it waits; if it runs, `worker.cancel` ends it."""
        return "requested" if self._memory.cancel(job_id) else "canceled"

    def retry(self, job_id: str) -> None:
        """Put a failed or canceled job back into its lane, keeping its history."""
        self._memory.retry(job_id)

    def erase(self, job_id: str) -> None:
        """Forget a job in any state, and its upload unless another job may need it."""
        self._memory.remove(job_id, upload=True)

    def jobs(
        self,
        status: Status | None = None,
        *,
        lane: Lane | None = None,
        most: int = 100,
        after: str | None = None,
        tag: str | None = None,
        begins: str = "",
    ) -> list[JobState]:
        """Return jobs, those that wait first: `most` of each lane and status, after the job `after`.

        With a `tag`, or an id that `begins` so, only those.
        """
        if after is not None:
            known = self.state(after)
            status, lane = status or known.status, lane or self._memory.find(after).request.lane
        found: list[JobState] = []
        for each in (lane,) if lane else LANES:
            for wanted in (status,) if status else STATUSES:
                ids = [job.request.id for job in self._memory.of(wanted, each)]
                ids = ids[ids.index(after) + 1 :] if after in ids else ids
                states = [self.state(job_id) for job_id in ids if job_id.startswith(begins)]
                found += [state for state in states if tag is None or tag in state.tags][:most]
        return found

    def dead_letters(
        self,
        *,
        lane: Lane | None = None,
        code: str | None = None,
        older_than_s: float | None = None,
        most: int | None = 100,
    ) -> list[DeadLetter]:
        """Return jobs that have failed, newest first: `most` of each lane (None: all) of those that fit the rest."""
        self._memory.reach()
        before = time.time() - (older_than_s or 0.0)
        found: list[DeadLetter] = []
        for each in (lane,) if lane else LANES:
            letters = [_letter(job) for job in self._memory.of("failed", each)]
            found += [
                letter
                for letter in letters
                if (code is None or (letter.error is not None and letter.error.code == code))
                and datetime.fromisoformat(letter.failed_at or "").timestamp() <= before
            ][:most]
        return found

    def dead_letter(self, job_id: str) -> DeadLetter:
        """Return a job that has failed, with its history."""
        job = self._memory.find(job_id)
        if job.status != "failed":
            raise JobStateError(f"Job {job_id} is {job.status}; only a failed job is a dead letter.")
        return _letter(job)

    def purge(self, job_id: str) -> None:
        """Remove a failed job with its history; its upload stays."""
        self.dead_letter(job_id)
        self._memory.remove(job_id, upload=False)

    def _all(self) -> list[KeptJob]:
        return [job for lane in LANES for status in STATUSES for job in self._memory.of(status, lane)]

    def _perform(self, step: Step | Entry) -> Any:
        """Perform a step of what is not above: the frames of `Live`, and what is asked of a `Group`."""
        if isinstance(step, Together | tuple):
            self._memory.reach()
            answers = [self._memory.groups.answer(cast("Command", each)) for each in getattr(step, "each", [step])]
            return answers if isinstance(step, Together) else answers[0]
        assert isinstance(step, Script)  # noqa: S101  # nothing else asks
        job_id, number, kind, frame = step.args
        try:
            last = self._memory.append(str(job_id), int(number), str(kind), bytes(frame))  # type: ignore[arg-type]  # as `live.append` gives them
        except AsrqError as error:
            self._memory.reach()
            return json.dumps({"error": error.info().model_dump()}).encode()
        return json.dumps({"last": last}).encode()


def place(after: str) -> int:
    """Return how many events precede those that follow this id."""
    return int(after.partition("-")[0])


def _letter(job: KeptJob) -> DeadLetter:
    return DeadLetter(
        id=job.request.id,
        lane=job.request.lane,
        failed_at=job.ended_at,
        backend=job.result.backend if job.result else None,
        error=job.result.error if job.result else None,
        attempts=job.attempts,
    )


def patience_s(timeout_s: float | None) -> float:
    """Return how long to wait: a test is not to hang."""
    return _PATIENCE_S if timeout_s is None else timeout_s


def too_late(job_id: str, timeout_s: float | None) -> WaitTimeoutError:
    """Return the error for a job that did not end in time."""
    return WaitTimeoutError(
        f"Job {job_id} did not end within {patience_s(timeout_s):g} s.",
        hint="Give the fake client an answer, or end the job by its worker.",
    )
