"""What all routes share: the client of the queue, and how a request becomes a job and a job an answer."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Request, UploadFile
from pydantic import BaseModel, Field

from asrq_jobs.aio import AsyncClient
from asrq_jobs.errors import AsrqError
from asrq_jobs.request import JOB_ID_PATTERN, BlobAudio, Lane
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.states import Submitted
from asrq_worker.http import models
from asrq_worker.logs import Log

_log = Log("asrq.http")

JOB_HEADER = "X-Asrq-Job"
_UPLOADS_AT_ONCE = 2  # of files that are in memory on their way from the spool to Redis


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
        self.settings = settings
        self.client = AsyncClient(settings)
        self._uploads = asyncio.Semaphore(_UPLOADS_AT_ONCE)
        self._afterwards: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Finish what goes on after requests, and close the connections."""
        await asyncio.gather(*self._afterwards, return_exceptions=True)
        await self.client.close()

    async def submit(self, file: UploadFile, model: str, manner: Manner, **options: Any) -> Submitted:
        """Make a job of an upload; `options` are fields of `asrq.request/1`.

        Raises:
            RequestError, AudioError: something does not fit.
            QueueError: the lane is full, the id is taken by another request, or Redis cannot be reached.
        """
        names = self.settings.http_names
        workers = {} if model in names else await self.client.workers()
        wanted = models.chosen(model, names, workers)
        audio = await self._store(file)
        small = audio.bytes <= self.settings.http_interactive_mb * 2**20
        lane = manner.x_asrq_lane or ("interactive" if small else "batch")
        job_id = manner.idempotency_key or uuid.uuid4().hex
        return await self.client.submit(audio, id=job_id, lane=lane, model=wanted, **options)

    async def _store(self, file: UploadFile) -> BlobAudio:
        async with self._uploads:
            return await self.client.upload(await file.read(), name=_shown(file.filename))

    async def outcome(self, request: Request, job_id: str, *, comes_back: bool) -> Result:
        """Wait for the end of a job. A client that goes away cancels it unless it `comes_back`.

        Raises:
            ClientGoneError: it went away.
            QueueError: Redis cannot be reached.
        """
        waiting = asyncio.ensure_future(self.client.wait(job_id))
        leaving = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
        finally:
            for task in (waiting, leaving):
                task.cancel()
            await asyncio.gather(waiting, leaving, return_exceptions=True)
        if not comes_back:
            self.afterwards(self._cancel(job_id))
        raise ClientGoneError

    def afterwards(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done that no request waits for."""
        task = asyncio.ensure_future(work)
        self._afterwards.add(task)
        task.add_done_callback(self._afterwards.discard)

    async def _cancel(self, job_id: str) -> None:
        with suppress(AsrqError):  # it has just ended, or Redis is away
            await self.client.cancel(job_id)
            _log.info("http.abandoned", job=job_id)


async def _left(request: Request) -> None:
    """Wait until the client has gone; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _shown(name: str | None) -> str | None:
    """Return the name of an upload without folders, in the length that a request allows."""
    return re.split(r"[/\\]", name)[-1][-255:] or None if name else None


def gateway(request: Request) -> Gateway:
    """Return the gateway that serves a request."""
    return cast("Gateway", request.app.state.gateway)


OurGateway = Annotated[Gateway, Depends(gateway)]
