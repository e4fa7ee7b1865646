"""What all routes share: the client of the queue, and how a request becomes a job and a job an answer."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from typing import Annotated, Any, BinaryIO, TypeVar, cast

from fastapi import Depends, Header
from fastapi import Request as HttpRequest
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.types import Receive

from asrq_jobs import keys, rq
from asrq_jobs.aio import AsyncClient
from asrq_jobs.connection import queue_errors
from asrq_jobs.errors import AsrqError, AudioEmptyError, AudioTooLargeError, QueueFullError
from asrq_jobs.request import JOB_ID_PATTERN, Audio, BlobAudio, Lane, Request, UrlAudio
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.states import Submitted
from asrq_worker.http import access, models, store
from asrq_worker.http.access import Holder
from asrq_worker.http.lanes import Lanes
from asrq_worker.http.quota import Quota
from asrq_worker.http.store import Store, keep_swept
from asrq_worker.http.uploads import Incoming
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.http")

T = TypeVar("T")

JOB_HEADER = "X-Asrq-Job"


_AGAIN_S = 1.0
_REDIS_HOLDS = 512 << 20  # bytes of a string


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


class Manner(BaseModel):
    """How a request is to be dealt with: its headers of ours."""

    x_asrq_lane: Lane | None = Field(
        default=None, description="The lane; by default interactive for small uploads, else batch."
    )
    x_asrq_detach: bool = Field(default=False, description="Let the job go on if the client goes away.")
    idempotency_key: str | None = Field(
        default=None, pattern=JOB_ID_PATTERN, description="Id of the job: the same id with the same body is one job."
    )

    @property
    def comes_back(self) -> bool:
        """Whether the job is to go on without the client: one that has named it can ask for it again."""
        return self.x_asrq_detach or self.idempotency_key is not None


HowAsked = Annotated[Manner, Header()]


class Gateway:
    """For the tasks of one event loop."""

    def __init__(self, settings: Settings) -> None:
        """Begin.

        Raises:
            SettingsError: the store cannot be used.
        """
        self.settings = settings
        self._store = Store(settings.http_store) if settings.http_store else None
        self.client = AsyncClient(settings)
        self.lanes = Lanes(self.client)
        self._sweeping = asyncio.ensure_future(keep_swept(self._store, self.client)) if self._store else None
        self._quota = Quota(self.client)
        self._afterwards: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Finish what goes on after requests, and close the connections."""
        if self._sweeping:
            self._sweeping.cancel()
        await asyncio.gather(*self._afterwards, return_exceptions=True)
        await self.client.close()

    async def submit(
        self, audio: UploadFile | UrlAudio, model: str | None, manner: Manner, whose: Holder | None, **options: Any
    ) -> Submitted:
        """Make a job of audio for the holder of a key; `options` are fields of `asrq.request/1`. No model: any will do.

        Raises:
            RequestError, AudioError: something does not fit.
            QueueError: the lane is full, the id is taken by another request, the audio of the day is used up, or Redis
                cannot be reached.
        """
        job_id = access.job_id(manner.idempotency_key or uuid.uuid4().hex, whose)
        if whose:
            await self._quota.check(whose)
        if whose and (group := options.get("group")):
            options = {**options, "group": {**group, "id": f"{whose.begins}{group['id']}"}}
        wanted = await self.chosen(model)
        source, upload = (audio, None) if isinstance(audio, UrlAudio) else await self._taken(audio, job_id)
        lane = manner.x_asrq_lane or self._lane(source)
        request = Request.build(id=job_id, audio=source, lane=lane, model=wanted, **options)
        try:
            submitted = await self.client.submit_request(request, audio=upload)
        except QueueFullError as error:
            error.retry_after_s = await self.lanes.room_in_s(lane)
            raise
        if whose and submitted.created:  # one that is asked for again has been counted
            await self._quota.expect(whose, job_id)
        return submitted

    async def dictate(
        self, job_id: str, sample_rate: int, model: str | None, whose: Holder | None, **options: Any
    ) -> None:
        """Begin a job for sound that is being recorded: 16-bit samples, mono.

        Raises:
            RequestError, QueueError: as `submit`.
        """
        if whose:
            await self._quota.check(whose)
        wanted = await self.chosen(model)
        try:
            await self.client.live(id=job_id, sample_rate=sample_rate, model=wanted, **options)
        except QueueFullError as error:
            error.retry_after_s = await self.lanes.room_in_s("interactive")
            raise
        if whose:
            await self._quota.expect(whose, job_id)

    async def chosen(self, model: str | None) -> str | None:
        """Return the model that a job is to name; None: any.

        Raises:
            NotServedError: it is none that can be asked for.
            QueueError: Redis cannot be reached.
        """
        names = self.settings.http_names
        workers = {} if model is None or model in names else await self.client.workers()
        return None if model is None else models.chosen(model, names, workers)

    def _lane(self, audio: Audio) -> Lane:
        small = isinstance(audio, BlobAudio) and audio.bytes <= self.settings.http_interactive_mb * 2**20
        return "interactive" if small else "batch"

    async def _taken(self, file: UploadFile, job_id: str) -> tuple[Audio, BinaryIO | None]:
        """Return how a job names an upload, and the file of what is to be stored in Redis with it."""
        incoming, name = cast("Incoming", file.file), _shown(file.filename)
        if incoming.size == 0:
            raise AudioEmptyError(f"{name or 'The audio'} is empty (0 bytes).")
        if self._store and incoming.size > store.ABOVE:
            return await asyncio.to_thread(self._store.put, job_id, incoming, name), None
        if incoming.size > _REDIS_HOLDS:
            raise AudioTooLargeError(
                f"{name or 'The upload'} has more than {_REDIS_HOLDS >> 20} MiB, which is the limit of Redis.",
                hint="Send compressed audio (opus, mp3), or ask the operator to set ASRQ_HTTP_STORE.",
            )
        return BlobAudio(sha256=incoming.sha256, bytes=incoming.size, name=name), incoming.reader

    async def outcome(self, request: HttpRequest, job_id: str, *, comes_back: bool) -> Result:
        """Wait for the end of a job. A client that goes away cancels it unless it `comes_back`.

        Raises:
            ClientGoneError: it went away.
            QueueError: Redis cannot be reached.
        """
        try:
            return await unless_left(request.receive, self.client.wait(job_id))
        except ClientGoneError:
            if not comes_back:
                self.abandon(job_id)
            raise

    async def retry(self, job_id: str, whose: Holder | None) -> None:
        """Put a failed or canceled job back into its lane, and count it anew for the holder of a key.

        Raises:
            JobNotFoundError, JobStateError: there is none, or it is another one.
            QueueError: the audio of the day is used up, or Redis cannot be reached.
        """
        if whose:
            await self._quota.check(whose)
        await self.client.retry(job_id)
        if whose:
            await self._quota.expect(whose, job_id)

    async def erase(self, job_id: str, whose: Holder | None) -> None:
        """Erase a job. What it has cost its holder of the day's audio stays counted.

        Raises:
            JobNotFoundError: there is none.
            QueueError: Redis cannot be reached.
        """
        if whose:
            await self._quota.settle(whose, job_id)
        where = await self._place(job_id) if self._store else None
        await self.client.erase(job_id)
        if self._store and where:
            await asyncio.to_thread(self._store.erase, job_id, where)

    async def _place(self, job_id: str) -> str | None:
        """Return the path or the address that a job names."""
        with queue_errors(self.settings):
            data = await self.client.redis.execute_command("HGET", keys.job(job_id), rq.DATA)  # type: ignore[no-untyped-call]  # redis-py's gap
        place = rq.Place.of(data or b"")
        return place.path or place.url

    def abandon(self, job_id: str) -> None:
        """Cancel a job that nobody waits for any more, after the request."""
        task = asyncio.ensure_future(self._cancel(job_id))
        self._afterwards.add(task)
        task.add_done_callback(self._afterwards.discard)

    async def _cancel(self, job_id: str) -> None:
        with suppress(AsrqError):  # it has just ended, or Redis is away
            await self.client.cancel(job_id)
            _log.info("http.abandoned", job=job_id)


async def unless_left(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Do something for a client whose body has been read.

    Raises:
        ClientGoneError: it went away before that was done.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    finally:
        await _ended({working, leaving})
    raise ClientGoneError


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they end: one that is about to time out takes a cancellation for its own."""
    left = tasks
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _shown(name: str | None) -> str | None:
    """Return the name of an upload without folders, in the length that a request allows."""
    return re.split(r"[/\\]", name)[-1][-255:] or None if name else None


async def gateway(request: HttpRequest) -> Gateway:
    """Return the gateway that serves a request."""
    return cast("Gateway", request.app.state.gateway)


async def _key_holder(request: HttpRequest) -> Holder | None:
    """Return who holds the key of a request; None where no keys are asked for."""
    return cast("Holder | None", request.state.holder)


KeyHolder = Annotated[Holder | None, Depends(_key_holder)]
OurGateway = Annotated[Gateway, Depends(gateway)]
