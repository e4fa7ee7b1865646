"""The Python client for asyncio: as `asrq_jobs.Client`, with methods to await."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from io import BytesIO
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, TypeVar

from redis.asyncio import Redis

from asrq_jobs import calls, configuration, dead, listing, performing, presence, steps, submission, uploads
from asrq_jobs.connection import connect_async
from asrq_jobs.dead import DeadLetter
from asrq_jobs.errors import AsrqError
from asrq_jobs.events import Entry, Event
from asrq_jobs.groups import AsyncGroup
from asrq_jobs.live import AsyncLive, FrameKind, Frames, append
from asrq_jobs.request import Audio, BlobAudio, Encoding, Lane, Request, UrlAudio
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.states import JobState, Status, Submitted
from asrq_jobs.steps import Calls, Done, Following, Step

T = TypeVar("T")


class AsyncClient:
    """Submits jobs, follows them and reads results; for the tasks of one event loop. An async context manager.

    What a method of `Client` raises, the method of the same name here raises too. A task may be canceled at any
    await: the connection that it used is closed, and the job goes on.
    """

    def __init__(self, config: Settings | None = None, *, redis: Redis | None = None) -> None:
        """Use the given settings (default: environment and files) and, if given, an existing connection."""
        self.settings = config or configuration.load()
        self.redis = redis or connect_async(self.settings)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.redis.aclose()

    # Submitting

    async def upload(self, audio: bytes | Path, *, name: str | None = None) -> BlobAudio:
        """Store audio under its sha256, once; uploading the same bytes again only renews their time to live."""
        data, blob = await asyncio.to_thread(uploads.prepare, audio, name, max_mb=self.settings.max_audio_mb)
        return await self._run(submission.upload(BytesIO(data), blob, self.settings.blob_ttl_s))

    async def submit(self, audio: Audio, *, id: str | None = None, **options: Any) -> Submitted:  # noqa: A002  # the protocol's word
        """Submit a job; options are the fields of `asrq.request/1`."""
        return await self.submit_request(Request.build(id=id or uuid.uuid4().hex, audio=audio, **options))

    async def submit_file(self, path: str | Path, **options: Any) -> Submitted:
        """Upload a file and submit a job for it."""
        data, blob = await asyncio.to_thread(uploads.prepare, Path(path), None, max_mb=self.settings.max_audio_mb)
        request = Request.build(**{"id": uuid.uuid4().hex, "audio": blob, **options})
        return await self.submit_request(request, audio=BytesIO(data))

    async def submit_url(self, url: str, **options: Any) -> Submitted:
        """Submit a job for a URL, where the operator allows it."""
        return await self.submit(UrlAudio(url=url), **options)

    async def submit_request(self, request: Request, *, audio: BinaryIO | None = None) -> Submitted:
        """Submit a request as it is; idempotent on its id. With `audio`, the upload that it names is stored first."""
        return await self._run(submission.submit(request, audio, self.settings.blob_ttl_s))

    async def submit_many(self, requests: Iterable[Request]) -> AsyncIterator[Submitted | AsrqError]:
        """Submit requests, some hundred in one round trip, and yield in their order what became of each."""
        rest = iter(requests)
        while group := list(islice(rest, submission.AT_ONCE)):
            for answer in await self._run(submission.submit_many(group)):
                yield answer

    async def live(
        self,
        *,
        encoding: Encoding = "pcm_s16le",
        sample_rate: int = 16_000,
        channels: int = 1,
        max_s: int | None = None,
        id: str | None = None,  # noqa: A002  # the protocol's word
        lane: Lane = "interactive",
        **options: Any,
    ) -> AsyncLive:
        """Submit a job whose sound is handed over while it is recorded; options are the fields of `asrq.request/1`.

        With the `id` of a job that this, or another program, has begun with the same options, go on after its last
        frame.
        """
        audio = {"kind": "live", "encoding": encoding, "sample_rate": sample_rate, "channels": channels, "max_s": max_s}
        request = Request.build(id=id or uuid.uuid4().hex, audio=audio, lane=lane, **options)
        live = AsyncLive(self, Frames.of(request), self._run)
        if not (await self.submit_request(request)).created:
            await live.resume()
        return live

    async def append(self, job_id: str, number: int, kind: FrameKind, frame: bytes) -> int:
        """Append a frame to a live job under a number of the caller's own, as one that hands on sound for others.

        Returns the number of the last one that is there; 0 asks for it. One that was there already changes nothing. It
        is a smaller one, nothing having been appended, if one before it is missing.

        Raises:
            QueueError: the job takes no more, frames come too fast, or Redis cannot be reached.
            InvalidRequestError: it is no frame.
            AudioTooLongError: the recording is as long as it may be.
        """
        return await self._run(append(job_id, number, kind, frame, self.settings.redis_retry_s))

    # Following

    async def state(self, job_id: str) -> JobState:
        """Return the state of a job."""
        return await self._run(calls.state(job_id))

    async def result(self, job_id: str, *, peek: bool = False) -> Result | None:
        """Return the result document, or None while there is none.

        A job that is to keep nothing is erased then, unless this was only to `peek`.
        """
        return await self._run(calls.result(job_id) if peek else calls.fetch(job_id, self.settings))

    async def events(self, job_id: str, *, after: str = "0", timeout_s: float | None = None) -> AsyncIterator[Event]:
        """Yield the job's events from the stream, waiting for more until a terminal one; rides out outages."""
        async for entry in self.entries(job_id, after=after, timeout_s=timeout_s):
            yield entry.event

    async def entries(self, job_id: str, *, after: str = "0", timeout_s: float | None = None) -> AsyncIterator[Entry]:
        """Yield what `events` does, each with the id that a later call can go on `after`."""
        following = calls.follow(job_id, self.settings, after=after, timeout_s=timeout_s)
        step = steps.advance(following)
        while not isinstance(step, Done):
            if isinstance(step, Entry):
                yield step
            step = steps.advance(following, await self._perform(step))

    async def wait(self, job_id: str, *, timeout_s: float | None = None) -> Result:
        """Wait until the job ends and return its result, also of a job that failed; rides out outages."""
        return await self._run(calls.wait(job_id, self.settings, timeout_s=timeout_s))

    def group(self, group_id: str) -> AsyncGroup:
        """Return a group of jobs, to ask how far it is, to follow it, or to wait for its end."""
        return AsyncGroup(group_id, self.settings, self._perform)

    async def workers(self, *, stopped: bool = False) -> dict[str, Any]:
        """Return the last status of each worker that is there, by name.

        That is its state, lanes, running jobs, engines and what it can serve. With `stopped` also what is known of
        those that have stopped, or died, a while ago.
        """
        return await self._run(presence.workers(stopped=stopped))

    async def reaper(self) -> bool:
        """Return whether a reaper is there, without which nothing comes back from workers that die."""
        return await self._run(presence.reaper())

    async def command(self, command: Literal["load", "unload"], backend: str) -> int:
        """Tell every worker to load a backend, or to unload it where no job uses it; returns how many heard."""
        return await self._run(presence.command(command, backend))

    # Acting

    async def cancel(self, job_id: str) -> Literal["canceled", "requested"]:
        """Cancel a job: at once if it waits, within about a second if it runs."""
        return await self._run(calls.cancel(job_id, self.settings.result_ttl_s))

    async def retry(self, job_id: str) -> None:
        """Put a failed or canceled job back into its lane, keeping its history."""
        await self._run(calls.retry(job_id))

    async def erase(self, job_id: str) -> None:
        """Remove all that Redis has of a job, whatever its state, and its upload unless another job may need it."""
        await self._run(calls.erase(job_id))

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
        """Return jobs, those that wait first: `most` of each lane and status, after the job `after`.

        With a `tag`, or an id that `begins` so, only those.
        """
        return await self._run(listing.jobs(status, lane=lane, most=most, after=after, tag=tag, begins=begins))

    # Dead letters

    async def dead_letters(
        self,
        *,
        lane: Lane | None = None,
        code: str | None = None,
        older_than_s: float | None = None,
        most: int | None = 100,
    ) -> list[DeadLetter]:
        """Return jobs that have failed, newest first: `most` of each lane (None: all) of those that fit the rest."""
        return await self._run(dead.letters(lane=lane, code=code, older_than_s=older_than_s, most=most))

    async def dead_letter(self, job_id: str) -> DeadLetter:
        """Return a job that has failed, with its history."""
        return await self._run(dead.letter(job_id))

    async def purge(self, job_id: str) -> None:
        """Remove a failed job with its history. Its upload stays until it expires: other jobs may name it."""
        await self._run(dead.purge(job_id))

    # Performing

    async def _run(self, call: Calls[T] | Following[T]) -> T:
        step = steps.advance(call)
        while not isinstance(step, Done):
            step = steps.advance(call, await self._perform(step))
        return step.value

    async def _perform(self, step: Step | Entry) -> Any:
        return await performing.perform_async(self.redis, self.settings, step)
