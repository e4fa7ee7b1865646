"""The Python client: each method performs one of `asrq_jobs.calls` on a connection."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from redis import Redis

from asrq_jobs import calls, configuration, dead, listing, performing, presence, steps, submission, uploads
from asrq_jobs.connection import connect
from asrq_jobs.dead import DeadLetter
from asrq_jobs.errors import AsrqError
from asrq_jobs.events import Entry, Event
from asrq_jobs.groups import Group
from asrq_jobs.live import FrameKind, Frames, Live, append
from asrq_jobs.request import Audio, BlobAudio, Encoding, Lane, Request, UrlAudio
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.states import JobState, Status, Submitted
from asrq_jobs.steps import Calls, Done, Following, Step

T = TypeVar("T")


class Client:
    """Submits jobs, follows them and reads results. Thread-safe; a context manager."""

    def __init__(self, config: Settings | None = None, *, redis: Redis | None = None) -> None:
        """Use the given settings (default: environment and files) and, if given, an existing connection."""
        self.settings = config or configuration.load()
        self.redis = redis or connect(self.settings)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.redis.close()

    # Submitting

    def upload(self, audio: bytes | Path, *, name: str | None = None) -> BlobAudio:
        """Store audio under its sha256, once; uploading the same bytes again only renews their time to live.

        Raises:
            AudioNotFoundError, AudioUnreadableError, AudioEmptyError, AudioTooLargeError: the file cannot be sent.
            QueueError: Redis cannot be reached or refuses.
        """
        data, blob = uploads.prepare(audio, name, max_mb=self.settings.max_audio_mb)
        return self._run(submission.upload(BytesIO(data), blob, self.settings.blob_ttl_s))

    def submit(self, audio: Audio, *, id: str | None = None, **options: Any) -> Submitted:  # noqa: A002  # the protocol's word
        """Submit a job; options are the fields of `asrq.request/1`.

        Raises:
            RequestError: the options do not fit.
            QueueError: the queue is full, the id is taken, or Redis cannot be reached.
        """
        return self.submit_request(Request.build(id=id or uuid.uuid4().hex, audio=audio, **options))

    def submit_file(self, path: str | Path, **options: Any) -> Submitted:
        """Upload a file and submit a job for it."""
        data, blob = uploads.prepare(Path(path), None, max_mb=self.settings.max_audio_mb)
        request = Request.build(**{"id": uuid.uuid4().hex, "audio": blob, **options})
        return self.submit_request(request, audio=BytesIO(data))

    def submit_url(self, url: str, **options: Any) -> Submitted:
        """Submit a job for a URL, where the operator allows it."""
        return self.submit(UrlAudio(url=url), **options)

    def submit_request(self, request: Request, *, audio: BinaryIO | None = None) -> Submitted:
        """Submit a request as it is; idempotent on its id. With `audio`, the upload that it names is stored first."""
        return self._run(submission.submit(request, audio, self.settings.blob_ttl_s))

    def submit_many(self, requests: Iterable[Request]) -> Iterator[Submitted | AsrqError]:
        """Submit requests, some hundred in one round trip, and yield in their order what became of each.

        One that is refused yields the error that `submit_request` would raise, and the others go on. Ids make it safe
        to send all of them again.

        Raises:
            QueueError: Redis cannot be reached; what was not told of may have been submitted.
        """
        rest = iter(requests)
        while group := list(islice(rest, submission.AT_ONCE)):
            yield from self._run(submission.submit_many(group))

    def live(
        self,
        *,
        encoding: Encoding = "pcm_s16le",
        sample_rate: int = 16_000,
        channels: int = 1,
        max_s: int | None = None,
        id: str | None = None,  # noqa: A002  # the protocol's word
        lane: Lane = "interactive",
        **options: Any,
    ) -> Live:
        """Submit a job whose sound is handed over while it is recorded; options are the fields of `asrq.request/1`.

        With the `id` of a job that this, or another program, has begun with the same options, go on after its last
        frame.

        Raises:
            RequestError: the options do not fit.
            QueueError: the queue is full, the id is taken, the job has ended, or Redis cannot be reached.
        """
        audio = {"kind": "live", "encoding": encoding, "sample_rate": sample_rate, "channels": channels, "max_s": max_s}
        request = Request.build(id=id or uuid.uuid4().hex, audio=audio, lane=lane, **options)
        live = Live(self, Frames.of(request), self._run)
        if not (self.submit_request(request)).created:
            live.resume()
        return live

    def append(self, job_id: str, number: int, kind: FrameKind, frame: bytes) -> int:
        """Append a frame to a live job under a number of the caller's own, as one that hands on sound for others.

        Returns the number of the last one that is there; 0 asks for it. One that was there already changes nothing. It
        is a smaller one, nothing having been appended, if one before it is missing.

        Raises:
            QueueError: the job takes no more, frames come too fast, or Redis cannot be reached.
            InvalidRequestError: it is no frame.
            AudioTooLongError: the recording is as long as it may be.
        """
        return self._run(append(job_id, number, kind, frame, self.settings.redis_retry_s))

    # Following

    def state(self, job_id: str) -> JobState:
        """Return the state of a job.

        Raises:
            JobNotFoundError: there is no such job.
        """
        return self._run(calls.state(job_id))

    def result(self, job_id: str, *, peek: bool = False) -> Result | None:
        """Return the result document, or None while there is none.

        A job that is to keep nothing is erased then, unless this was only to `peek`.
        """
        return self._run(calls.result(job_id) if peek else calls.fetch(job_id, self.settings))

    def events(self, job_id: str, *, after: str = "0", timeout_s: float | None = None) -> Iterator[Event]:
        """Yield the job's events from the stream, waiting for more until a terminal one.

        An outage of up to `redis_retry_s` is ridden out; nothing is missed or comes twice.

        Raises:
            JobNotFoundError: there is no such job.
            WaitTimeoutError: `timeout_s` seconds have passed.
        """
        following = calls.follow(job_id, self.settings, after=after, timeout_s=timeout_s)
        step = steps.advance(following)
        while not isinstance(step, Done):
            if isinstance(step, Entry):
                yield step.event
            step = steps.advance(following, self._perform(step))

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> Result:
        """Wait until the job ends and return its result, also of a job that failed. Rides out outages as `events` does.

        A job that is to keep nothing is erased then.

        Raises:
            JobNotFoundError: there is no such job, or its result has expired.
            WaitTimeoutError: `timeout_s` seconds have passed.
        """
        return self._run(calls.wait(job_id, self.settings, timeout_s=timeout_s))

    def group(self, group_id: str) -> Group:
        """Return a group of jobs, to ask how far it is, to follow it, or to wait for its end."""
        return Group(group_id, self.settings, self._perform)

    def workers(self, *, stopped: bool = False) -> dict[str, Any]:
        """Return the last status of each worker that is there, by name.

        That is its state, lanes, running jobs, engines and what it can serve. With `stopped` also what is known of
        those that have stopped, or died, a while ago.
        """
        return self._run(presence.workers(stopped=stopped))

    def reaper(self) -> bool:
        """Return whether a reaper is there, without which nothing comes back from workers that die."""
        return self._run(presence.reaper())

    def command(self, command: Literal["load", "unload"], backend: str) -> int:
        """Tell every worker to load a backend, or to unload it where no job uses it; returns how many heard."""
        return self._run(presence.command(command, backend))

    # Acting

    def cancel(self, job_id: str) -> Literal["canceled", "requested"]:
        """Cancel a job: at once if it waits, within about a second if it runs.

        Raises:
            JobNotFoundError, JobStateError: there is nothing to cancel.
        """
        return self._run(calls.cancel(job_id, self.settings.result_ttl_s))

    def retry(self, job_id: str) -> None:
        """Put a failed or canceled job back into its lane, keeping its history.

        Raises:
            JobNotFoundError, JobStateError: there is nothing to retry.
        """
        self._run(calls.retry(job_id))

    def erase(self, job_id: str) -> None:
        """Remove all that Redis has of a job in any state: request, events, result, and what it has so far.

        Its upload goes as well, unless another job may still need it. A worker that runs it stops, and writes nothing
        of it any more.

        Raises:
            JobNotFoundError: there is no such job.
        """
        self._run(calls.erase(job_id))

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
        """Return jobs, those that wait first: `most` of each lane and status.

        With `after` those that follow this job in its lane and status, which need not be given; with `tag` only those
        that have it, and with `begins` only those whose id begins so.

        Raises:
            JobNotFoundError: there is no job `after` any more, and no status is given.
        """
        return self._run(listing.jobs(status, lane=lane, most=most, after=after, tag=tag, begins=begins))

    # Dead letters

    def dead_letters(
        self,
        *,
        lane: Lane | None = None,
        code: str | None = None,
        older_than_s: float | None = None,
        most: int | None = 100,
    ) -> list[DeadLetter]:
        """Return jobs that have failed, newest first: `most` of each lane (None: all) of those that fit the rest."""
        return self._run(dead.letters(lane=lane, code=code, older_than_s=older_than_s, most=most))

    def dead_letter(self, job_id: str) -> DeadLetter:
        """Return a job that has failed, with its history.

        Raises:
            JobNotFoundError, JobStateError: there is no such dead letter.
        """
        return self._run(dead.letter(job_id))

    def purge(self, job_id: str) -> None:
        """Remove a failed job with its history. Its upload stays until it expires: other jobs may name it.

        Raises:
            JobNotFoundError, JobStateError: there is no such dead letter.
        """
        self._run(dead.purge(job_id))

    # Performing

    def _run(self, call: Calls[T] | Following[T]) -> T:
        step = steps.advance(call)
        while not isinstance(step, Done):
            step = steps.advance(call, self._perform(step))
        return step.value

    def _perform(self, step: Step | Entry) -> Any:
        return performing.perform(self.redis, self.settings, step)
