"""The Python client: the protocol of docs/reference/protocol.md as methods."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict
from redis import Redis

from asrq_jobs import configuration, keys, scripts
from asrq_jobs.connection import connect, queue_errors
from asrq_jobs.errors import (
    AudioEmptyError,
    AudioNotFoundError,
    AudioTooLargeError,
    ErrorInfo,
    JobNotFoundError,
    JobStateError,
    WaitTimeoutError,
    from_info,
)
from asrq_jobs.events import Event
from asrq_jobs.request import LANES, Audio, BlobAudio, Lane, Request, UrlAudio
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings

Status = Literal["queued", "processing", "completed", "failed", "canceled"]
STATUSES: tuple[Status, ...] = ("queued", "processing", "completed", "failed", "canceled")

_FROM_RQ: dict[str, Status] = {
    "queued": "queued",
    "scheduled": "queued",
    "started": "processing",
    "finished": "completed",
    "failed": "failed",
    "canceled": "canceled",
    "stopped": "canceled",
}
_BLOCK_S = 2.0  # below the socket timeout, so that a blocking read is never mistaken for an outage


class Submitted(BaseModel):
    """Answer to a submission."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: Status
    created: bool
    depth: int | None = None


class JobState(BaseModel):
    """Where a job stands now."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: Status
    lane: str | None = None
    position: int | None = None
    attempt: int = 0
    description: str | None = None
    worker: str | None = None
    enqueued_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    error: ErrorInfo | None = None


class Client:
    """Submits jobs, follows them and reads results. Thread-safe; a context manager."""

    def __init__(self, config: Settings | None = None, *, redis: Redis | None = None) -> None:
        """Use the given settings (default: environment and files) and, if given, an existing connection."""
        self.settings = config or configuration.load()
        self.redis = redis or connect(self.settings)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.redis.close()

    # Submitting

    def upload(self, audio: bytes | Path, *, name: str | None = None) -> BlobAudio:
        """Store audio under its sha256, once; uploading the same bytes again only renews their time to live.

        Raises:
            AudioNotFoundError, AudioEmptyError, AudioTooLargeError: the file cannot be sent.
            QueueError: Redis cannot be reached or refuses.
        """
        if isinstance(audio, Path):
            name = name or audio.name
            audio = self._read(audio)
        self._check_size(len(audio), name)
        digest = hashlib.sha256(audio).hexdigest()
        key, ttl = keys.blob(digest), self.settings.blob_ttl_s
        with queue_errors(self.settings):
            if not self.redis.expire(key, ttl):
                self.redis.set(key, audio, ex=ttl)
        return BlobAudio(sha256=digest, bytes=len(audio), name=name)

    def _read(self, path: Path) -> bytes:
        try:
            self._check_size(path.stat().st_size, path.name)
            return path.read_bytes()
        except OSError as error:
            raise AudioNotFoundError(f"Cannot read {path}: {error.strerror}.", hint="Check the path.") from None

    def _check_size(self, size: int, name: str | None) -> None:
        if size == 0:
            raise AudioEmptyError(f"{name or 'The audio'} is empty (0 bytes).")
        if size > self.settings.max_audio_mb * 2**20:
            raise AudioTooLargeError(
                f"{name or 'The audio'} has {size / 2**20:.0f} MiB, the limit is {self.settings.max_audio_mb}.",
                hint="Send compressed audio (opus, mp3), or a path that the worker can read.",
            )

    def submit(self, audio: Audio, *, id: str | None = None, **options: Any) -> Submitted:  # noqa: A002  # the protocol's word
        """Submit a job; options are the fields of `asrq.request/1`.

        Raises:
            RequestError: the options do not fit.
            QueueError: the queue is full, the id is taken, or Redis cannot be reached.
        """
        return self.submit_request(Request.build(id=id or uuid.uuid4().hex, audio=audio, **options))

    def submit_file(self, path: str | Path, **options: Any) -> Submitted:
        """Upload a file and submit a job for it."""
        return self.submit(self.upload(Path(path)), **options)

    def submit_url(self, url: str, **options: Any) -> Submitted:
        """Submit a job for a URL, where the operator allows it."""
        return self.submit(UrlAudio(url=url), **options)

    def submit_request(self, request: Request) -> Submitted:
        """Submit a request as it is; idempotent on its id."""
        audio = request.audio
        submission = [
            keys.job(request.id),
            keys.queue(request.lane),
            keys.RQ_QUEUES,
            keys.events(request.id),
            keys.result(request.id),
            keys.LIMITS,
            keys.blob(audio.sha256 if isinstance(audio, BlobAudio) else "none"),
        ]
        with queue_errors(self.settings):
            raw = scripts.load(self.redis, "submit")(submission, [request.id, request.lane, request.to_json()])
        answer = json.loads(cast("bytes", raw))
        if "error" in answer:
            raise from_info(ErrorInfo.model_validate(answer["error"]))
        return Submitted(**{**answer, "status": _FROM_RQ[answer["status"]]})

    # Following

    def state(self, job_id: str) -> JobState:
        """Return where the job stands.

        Raises:
            JobNotFoundError: there is no such job.
        """
        with queue_errors(self.settings):
            raw = cast("dict[bytes, bytes]", self.redis.hgetall(keys.job(job_id)))
            result = self.result(job_id)
            if not raw:
                if result is None:
                    raise _missing(job_id)
                return JobState(id=job_id, status=result.status, attempt=len(result.attempts), error=result.error)
            fields = {name.decode(): value.decode(errors="replace") for name, value in raw.items() if name != b"data"}
            status = _FROM_RQ.get(fields.get("status", ""), "queued")
            lane = keys.lane_of(fields.get("origin", ""))
            position = cast("int | None", self.redis.lpos(keys.queue(lane), job_id)) if status == "queued" else None
            attempts = self.redis.llen(keys.attempts(job_id))
        return JobState(
            id=job_id,
            status=status,
            lane=lane,
            position=None if position is None else position + 1,
            attempt=attempts,
            description=fields.get("description"),
            worker=fields.get("worker_name") or None,
            enqueued_at=fields.get("enqueued_at") or None,
            started_at=fields.get("started_at") or None,
            ended_at=fields.get("ended_at") or None,
            error=result.error if result else None,
        )

    def result(self, job_id: str) -> Result | None:
        """Return the result document, or None while there is none."""
        with queue_errors(self.settings):
            text = cast("bytes | None", self.redis.get(keys.result(job_id)))
        return Result.from_json(text) if text else None

    def events(self, job_id: str, *, after: str = "0", timeout_s: float | None = None) -> Iterator[Event]:
        """Yield the job's events from the stream, waiting for more until a terminal one.

        Raises:
            JobNotFoundError: there is no such job.
            WaitTimeoutError: `timeout_s` seconds have passed.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        stream = keys.events(job_id)
        while True:
            left = _BLOCK_S if deadline is None else min(_BLOCK_S, deadline - time.monotonic())
            if left <= 0:
                raise WaitTimeoutError(f"Job {job_id} did not end within {timeout_s:g} s.")
            with queue_errors(self.settings):
                answer = cast("Any", self.redis.xread({stream: after}, count=500, block=max(1, int(left * 1000))))
            ended = not answer
            for entry_id, fields in _entries(answer):
                after = entry_id
                event = Event.from_entry(fields)
                ended = ended or event.terminal
                yield event
            # The result, not the order of events, says that it is over: a paused worker may still add one, and a
            # job retried by hand has lost its result.
            if ended and self._has_result(job_id):
                return
            if not answer:
                self.state(job_id)  # a job that has vanished ends the wait

    def _has_result(self, job_id: str) -> bool:
        with queue_errors(self.settings):
            return bool(self.redis.exists(keys.result(job_id)))

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> Result:
        """Wait until the job ends and return its result, whatever its status.

        Raises:
            JobNotFoundError: there is no such job, or its result has expired.
            WaitTimeoutError: `timeout_s` seconds have passed.
        """
        for _ in self.events(job_id, timeout_s=timeout_s):
            pass
        result = self.result(job_id)
        if result is None:
            raise _missing(job_id)
        return result

    def workers(self) -> dict[str, Any]:
        """Return what each worker announced last: its state, lanes, running jobs and engines, by name."""
        with queue_errors(self.settings):
            announced = cast("dict[bytes, bytes]", self.redis.hgetall(keys.HOSTS))
        return {name.decode(): json.loads(status) for name, status in sorted(announced.items())}

    def command(self, command: Literal["load", "unload"], backend: str) -> int:
        """Tell every worker to load a backend, or to unload it where no job uses it; returns how many heard."""
        with queue_errors(self.settings):
            return self.redis.publish(keys.CONTROL, json.dumps({"command": command, "backend": backend}))

    # Acting

    def cancel(self, job_id: str) -> Literal["canceled", "requested"]:
        """Cancel a job: at once if it waits, within about a second if it runs.

        Raises:
            JobNotFoundError, JobStateError: there is nothing to cancel.
        """
        lane = self._lane(job_id)
        result = Result(
            id=job_id,
            status="canceled",
            error=ErrorInfo(code="canceled", message="Canceled.", retryable=False, stage="queue"),
            completed_at=_iso_now(),
        )
        event = Event(type="canceled", at=time.time())
        ttl = self.settings.result_ttl_s
        with queue_errors(self.settings):
            raw = scripts.load(self.redis, "cancel")(
                [
                    keys.job(job_id),
                    keys.queue(lane),
                    keys.registry("scheduled", lane),
                    keys.registry("canceled", lane),
                    keys.cancel(job_id),
                    keys.events(job_id),
                    keys.result(job_id),
                    keys.STATS,
                    keys.attempts(job_id),
                    keys.chunks(job_id),
                ],
                [job_id, result.to_json(), event.to_json(), ttl, int(time.time()) + ttl],
            )
        verdict = cast("bytes", raw).decode()
        if verdict == "missing":
            raise _missing(job_id)
        if verdict == "ended":
            raise JobStateError(f"Job {job_id} has already ended.")
        return cast("Literal['canceled', 'requested']", verdict)

    def retry(self, job_id: str) -> None:
        """Put a failed or canceled job back into its lane, keeping its history.

        Raises:
            JobNotFoundError, JobStateError: there is nothing to retry.
        """
        lane = self._lane(job_id)
        event = Event(type="queued", at=time.time(), lane=lane)
        with queue_errors(self.settings):
            raw = scripts.load(self.redis, "retry")(
                [
                    keys.job(job_id),
                    keys.queue(lane),
                    keys.registry("failed", lane),
                    keys.registry("canceled", lane),
                    keys.cancel(job_id),
                    keys.events(job_id),
                    keys.result(job_id),
                    keys.attempts(job_id),
                    keys.chunks(job_id),
                ],
                [job_id, event.to_json(), _iso_now()],
            )
        verdict = cast("bytes", raw).decode()
        if verdict == "missing":
            raise _missing(job_id)
        if verdict != "queued":
            raise JobStateError(
                f"Job {job_id} is {_FROM_RQ.get(verdict, verdict)}; only a failed or canceled job can be retried."
            )

    def jobs(self, status: Status | None = None, *, most: int = 100) -> list[JobState]:
        """Return jobs of both lanes, those that wait first; `most` of each lane and status."""
        found: list[JobState] = []
        for lane in LANES:
            for wanted in (status,) if status else STATUSES:
                found += [state for job_id in self._ids(lane, wanted, most) if (state := self._state_or_none(job_id))]
        return found

    def _ids(self, lane: Lane, status: Status, most: int) -> list[str]:
        with queue_errors(self.settings):
            if status == "queued":
                waiting = cast("list[bytes]", self.redis.lrange(keys.queue(lane), 0, most - 1))
                later = cast("list[bytes]", self.redis.zrange(keys.registry("scheduled", lane), 0, most - 1))
                return [raw.decode() for raw in [*waiting, *later]][:most]
            kind = {"processing": "wip", "completed": "finished"}.get(status, status)
            entries = cast("list[bytes]", self.redis.zrevrange(keys.registry(kind, lane), 0, most - 1))
        return [raw.decode().partition(":")[0] for raw in entries]

    def _state_or_none(self, job_id: str) -> JobState | None:
        try:
            return self.state(job_id)
        except JobNotFoundError:
            return None

    def _lane(self, job_id: str) -> str:
        with queue_errors(self.settings):
            origin = cast("bytes | None", self.redis.hget(keys.job(job_id), "origin"))
        return keys.lane_of(origin.decode()) if origin else "batch"


def _missing(job_id: str) -> JobNotFoundError:
    return JobNotFoundError(
        f"No job {job_id}: never submitted here, or its time to live has passed.",
        hint="`asrq list` shows the jobs of this queue; check ASRQ_REDIS_URL.",
    )


def _iso_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _entries(answer: Any) -> Any:
    """Entries of the one stream that XREAD was asked for; redis-py's form of the answer depends on the protocol."""
    if not answer:
        return []
    return next(iter(answer.values()))[0] if isinstance(answer, dict) else answer[0][1]
