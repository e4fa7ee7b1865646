"""The fake client for asyncio: `FakeClient`, with methods to await."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Literal

from asrq_jobs.aio import AsyncClient
from asrq_jobs.dead import DeadLetter
from asrq_jobs.errors import AsrqError
from asrq_jobs.events import Entry
from asrq_jobs.groups import AsyncGroup
from asrq_jobs.request import BlobAudio, Lane, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.states import JobState, Status, Submitted
from asrq_jobs.steps import Step, Together
from asrq_jobs.testing.client import FakeClient, patience_s, place, too_late
from asrq_jobs.testing.groups import FakeAsyncGroup
from asrq_jobs.testing.worker import Answer, Worker

_LOOK_S = 0.01


class FakeAsyncClient(AsyncClient):
    """An `AsyncClient` whose queue is in memory: that of `sync`, a `FakeClient` that a test drives and looks into."""

    def __init__(self, answer: Answer | None = None, *, config: Settings | None = None) -> None:
        """As `FakeClient`."""
        self.sync = FakeClient(answer, config=config)
        self.settings = self.sync.settings

    @property
    def worker(self) -> Worker:
        """What begins and ends the jobs."""
        return self.sync.worker

    async def close(self) -> None:
        """Do nothing."""

    async def upload(self, audio: bytes | Path, *, name: str | None = None) -> BlobAudio:
        """Store audio in memory."""
        return self.sync.upload(audio, name=name)

    async def submit_request(self, request: Request, *, audio: BinaryIO | None = None) -> Submitted:
        """Submit a request as it is; idempotent on its id. With `audio`, the upload that it names is stored first."""
        return self.sync.submit_request(request, audio=audio)

    async def submit_many(self, requests: Iterable[Request]) -> AsyncIterator[Submitted | AsrqError]:
        """Submit requests, and yield in their order what became of each."""
        for answer in self.sync.submit_many(requests):
            yield answer

    async def state(self, job_id: str) -> JobState:
        """Return the state of a job."""
        return self.sync.state(job_id)

    async def result(self, job_id: str, *, peek: bool = False) -> Result | None:
        """Return the result document, or None while there is none."""
        return self.sync.result(job_id, peek=peek)

    async def entries(self, job_id: str, *, after: str = "0", timeout_s: float | None = None) -> AsyncIterator[Entry]:
        """Yield what `events` does, each with the id that a later call can go on `after`."""
        seen, give_up_at = place(after), time.monotonic() + patience_s(timeout_s)
        while True:
            job = self.sync._memory.find(job_id)
            fresh, over = job.entries[seen:], job.result is not None
            seen += len(fresh)
            for entry in fresh:
                yield entry
            if over:
                return
            if not fresh and time.monotonic() > give_up_at:
                raise too_late(job_id, timeout_s)
            await asyncio.sleep(_LOOK_S)  # so that the loop of a test has no thread to wait for in the end

    async def wait(self, job_id: str, *, timeout_s: float | None = None) -> Result:
        """Wait until the job ends and return its result; without `timeout_s` for at most ten seconds."""
        async for _ in self.entries(job_id, timeout_s=timeout_s):
            pass
        return self.sync.wait(job_id, timeout_s=0)

    def group(self, group_id: str) -> AsyncGroup:
        """Return a group of jobs, as `FakeClient.group`."""

        async def perform(step: Step) -> Any:
            answer = self.sync._perform(step)
            if isinstance(step, Together) and answer[0] is None:
                await asyncio.sleep(_LOOK_S)
            return answer

        return FakeAsyncGroup(group_id, self.settings, perform)

    async def workers(self, *, stopped: bool = False) -> dict[str, Any]:
        """Return that no worker is there."""
        return self.sync.workers(stopped=stopped)

    async def reaper(self) -> bool:
        """Return that no reaper is there."""
        return self.sync.reaper()

    async def command(self, command: Literal["load", "unload"], backend: str) -> int:
        """Return that no worker has heard it."""
        return self.sync.command(command, backend)

    async def cancel(self, job_id: str) -> Literal["canceled", "requested"]:
        """Cancel a job: at once if it waits; if it runs, `worker.cancel` ends it."""
        return self.sync.cancel(job_id)

    async def retry(self, job_id: str) -> None:
        """Put a failed or canceled job back into its lane, keeping its history."""
        self.sync.retry(job_id)

    async def erase(self, job_id: str) -> None:
        """Forget a job in any state, and its upload unless another job may need it."""
        self.sync.erase(job_id)

    async def jobs(
        self,
        status: Status | None = None,
        *,
        lane: Lane | None = None,
        most: int = 100,
        after: str | None = None,
        tag: str | None = None,
        begins: str = "",
    ) -> list[JobState]:
        """Return jobs, as `FakeClient.jobs`."""
        return self.sync.jobs(status, lane=lane, most=most, after=after, tag=tag, begins=begins)

    async def dead_letters(
        self,
        *,
        lane: Lane | None = None,
        code: str | None = None,
        older_than_s: float | None = None,
        most: int | None = 100,
    ) -> list[DeadLetter]:
        """Return jobs that have failed, newest first."""
        return self.sync.dead_letters(lane=lane, code=code, older_than_s=older_than_s, most=most)

    async def dead_letter(self, job_id: str) -> DeadLetter:
        """Return a job that has failed, with its history."""
        return self.sync.dead_letter(job_id)

    async def purge(self, job_id: str) -> None:
        """Remove a failed job with its history; its upload stays."""
        self.sync.purge(job_id)

    async def _perform(self, step: Step | Entry) -> Any:
        return self.sync._perform(step)
