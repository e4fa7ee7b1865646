"""Live jobs over a WebSocket: sound comes in, text goes out while it is spoken."""

from __future__ import annotations

import asyncio
import re
import uuid
from contextlib import suppress
from typing import cast

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from asrq_jobs.errors import (
    AsrqError,
    AudioEmptyError,
    InvalidRequestError,
    JobNotFoundError,
    JobStateError,
    NotServedError,
    TooFastError,
    UnknownLanguageError,
)
from asrq_jobs.live import FrameKind
from asrq_jobs.request import JOB_ID_PATTERN
from asrq_jobs.states import missing
from asrq_worker.http import access, realtime
from asrq_worker.http.access import Holder
from asrq_worker.http.gateway import Gateway
from asrq_worker.http.items import Items, TurnItems, WholeItem
from asrq_worker.http.openai import succeeded
from asrq_worker.http.realtime import Append, Clear, Commit, Event, LostError, Said, SessionOptions, Update

router = APIRouter(prefix="/v1")

PROTOCOL = "realtime"
SILENT_S = 60.0
"""A socket on which nothing comes for so long is closed, unless its client waits for a text."""
_PIECE = 1 << 16  # bytes of a frame that we number
_SLOWER_S = 1.0
_LAST_WORDS_S = 5.0
_REFUSED = (InvalidRequestError, UnknownLanguageError, NotServedError)
_REFUSALS = 10  # of events, after which a client does not know what it does
_POLICY, _LATER = 1008, 1013  # https://www.iana.org/assignments/websocket/websocket.xhtml


@router.websocket("/realtime/transcription")
@router.websocket("/realtime")
async def transcription(socket: WebSocket) -> None:
    """Hear what is said. `/v1/realtime` is where OpenAI's clients look for it."""
    offered = socket.scope["subprotocols"]
    await socket.accept(PROTOCOL if PROTOCOL in offered else None)
    dictation = _Dictation(socket, cast("Gateway", socket.app.state.gateway), socket.state.holder)
    try:
        if socket.state.refused:
            raise socket.state.refused
        await dictation.run()
    except WebSocketDisconnect:
        pass  # the job goes on: its client may come back
    except (AsrqError, LostError) as failure:
        error = failure.error if isinstance(failure, LostError) else failure
        with suppress(WebSocketDisconnect, RuntimeError):  # it is gone as well
            await socket.send_json(realtime.wrong(error, dictation.event_id))
            await socket.close(_LATER if error.retryable else _POLICY)
    finally:
        await dictation.leave()


class _Dictation:
    """One socket. One recording at a time takes sound; the texts of those before it may still be waited for."""

    def __init__(self, socket: WebSocket, gateway: Gateway, whose: Holder | None) -> None:
        self._socket = socket
        self._gateway = gateway
        self._whose = whose
        self._asked = SessionOptions(model=socket.query_params.get("model"))
        self._job_id = ""
        self._last = 0  # number of its last frame
        self._begun = False
        self._turns = False  # whether each stretch of it is an item
        self._comes_back = "id" in socket.query_params
        self._previous: str | None = None
        self._following: set[asyncio.Task[None]] = set()
        self.event_id: str | None = None
        """Of what the client has said last."""

    async def run(self) -> None:
        """Serve until the client leaves.

        Raises:
            WebSocketDisconnect: it has left.
            AsrqError, LostError: it is to be told, and the socket closed.
        """
        name = self._socket.query_params.get("id")
        self._job_id = await self._come_back(name) if name else self._new_id()
        await self._send(realtime.session("session.created", self._job_id, self._asked, self._last))
        if self._begun:
            await self._follow()
        refusals = 0
        while True:
            self.event_id = None
            try:
                said = realtime.parse(await self._receive())
                self.event_id = said.event_id
                await self._obey(said)
            except JobStateError:
                if self._following:
                    await asyncio.wait(self._following, timeout=_LAST_WORDS_S)  # how it has ended says more
                raise
            except _REFUSED as error:
                refusals += 1
                if refusals >= _REFUSALS:
                    raise
                await self._send(realtime.wrong(error, self.event_id))

    async def leave(self) -> None:
        """End what follows the jobs. A recording that the client could go on with goes on; no other keeps a slot."""
        if self._begun and not self._comes_back:
            self._gateway.abandon(self._job_id)
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)

    def _new_id(self) -> str:
        return access.job_id(uuid.uuid4().hex, self._whose)

    async def _receive(self) -> str | None:
        while True:
            try:
                message = await asyncio.wait_for(self._socket.receive(), SILENT_S)
            except TimeoutError:
                if self._following:
                    continue
                raise LostError(InvalidRequestError(f"Nothing has come for {SILENT_S:.0f} s.")) from None
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            return cast("str | None", message.get("text"))

    async def _obey(self, said: Said) -> None:
        match said:
            case Update():
                asked = said.session.asked(self._asked)
                asked.refuse_unfit()
                await self._gateway.chosen(asked.model)
                self._asked = asked
                kind = said.type.replace(".update", ".updated")
                await self._send(realtime.session(kind, self._job_id, self._asked, self._last))
            case Append():
                try:
                    await self._append(said)
                except _REFUSED as error:
                    raise LostError(error) from None
            case Commit():
                await self._commit()
            case Clear():
                if self._begun:
                    self._gateway.abandon(self._job_id)
                    self._next()
                await self._send(realtime.cleared())

    async def _come_back(self, job_id: str) -> str:
        """Go on with the recording that the client has begun before, if it has."""
        if not re.fullmatch(JOB_ID_PATTERN, job_id):
            raise InvalidRequestError("The id is none of a job.")
        access.refuse_foreign(job_id, self._whose)
        try:
            self._last = await self._gateway.client.append(job_id, 0, "audio", b"")
            self._begun = True
        except JobStateError:  # it has ended: its text is there
            self._begun = True
        except JobNotFoundError:
            pass
        return job_id

    async def _append(self, said: Append) -> None:
        if not self._begun:
            await self._begin()
        self._comes_back = self._comes_back or said.seq is not None
        if said.seq is None:
            pieces = [said.audio[at : at + _PIECE] for at in range(0, len(said.audio), _PIECE)]
            for number, piece in enumerate(pieces, start=self._last + 1):
                await self._put(number, "audio", piece)
        elif len(said.audio) > realtime.FRAME:
            raise InvalidRequestError(f"An append with seq takes {realtime.FRAME} bytes of sound at most.")
        else:
            await self._put(said.seq, "audio", said.audio)

    async def _begin(self) -> None:
        await self._gateway.dictate(
            self._job_id, self._asked.rate, self._asked.model, self._whose, **self._asked.options()
        )
        self._begun = True
        self._socket.scope["state"]["job"] = self._job_id
        await self._follow()

    async def _put(self, number: int, kind: FrameKind, sound: bytes) -> None:
        while True:
            try:
                kept = await self._gateway.client.append(self._job_id, number, kind, sound)
            except TooFastError:
                await asyncio.sleep(_SLOWER_S)
            else:
                break
        if kept < number:  # the client has left it out, or Redis has lost it
            error = InvalidRequestError(
                f"Frame {kept + 1} is missing before frame {number}.",
                hint="Open a socket with ?id= and the job's id, and go on after session.last.",
            )
            raise LostError(error)
        self._last = kept

    async def _commit(self) -> None:
        if not self._begun:
            empty = AudioEmptyError("There is no sound to transcribe.", hint="Append some first.")
            await self._send(realtime.wrong(empty, self.event_id))
            return
        await self._put(self._last + 1, "end", b"")
        if not self._turns:
            await self._send(realtime.committed(self._job_id, self._previous))
            self._previous = self._job_id
        self._next()

    def _next(self) -> None:
        self._job_id, self._last, self._begun = self._new_id(), 0, False

    async def _follow(self) -> None:
        self._turns = self._asked.turns
        items: Items = TurnItems(self._job_id, self._previous) if self._turns else WholeItem(self._job_id)
        if not self._turns:
            await self._send(realtime.added(self._job_id, self._previous))
        task = asyncio.ensure_future(self._tell(self._job_id, items))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _tell(self, job_id: str, items: Items) -> None:
        """Send the text of a job while it comes, and how it ends."""
        try:
            async for entry in self._gateway.client.entries(job_id):
                for told in items.after(entry.event):
                    await self._send(told)
            result = await self._gateway.client.result(job_id)
            if result is None:
                raise missing(job_id)
            for told in items.end(succeeded(result)):
                await self._send(told)
        except AsrqError as error:
            await self._send(items.failed(error))

    async def _send(self, event: Event) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect):  # the receiving task hears of it
                await self._socket.send_json(event)
