"""What happens to a request before and after its route: who may come in, how much it may bring, what the log says."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asrq_jobs.errors import AsrqError, AudioTooLargeError, InternalError, InvalidRequestError
from asrq_jobs.settings import Settings
from asrq_worker.http import problems
from asrq_worker.http.gateway import JOB_HEADER, ClientGoneError
from asrq_worker.process import endpoint
from asrq_worker.telemetry import reports
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.http")

_ID_HEADER = "X-Request-Id"
_FORM_BYTES = 1 << 20  # what may stand in a form beside the audio
_SILENT_S = 60.0  # an upload that brings nothing for so long is given up
_GONE = 499  # as nginx logs it


class Door:
    """An ASGI middleware around all routes."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._longest = settings.max_audio_mb * 2**20 + _FORM_BYTES
        self._max_mb = settings.max_audio_mb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(_ID_HEADER, "")
        request_id = given if re.fullmatch(r"[\w.-]{1,64}", given, re.ASCII) else uuid.uuid4().hex
        scope.setdefault("state", {})
        began, status = time.monotonic(), 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(scope=message)
                out[_ID_HEADER] = request_id
                if job := scope["state"].get("job"):
                    out[JOB_HEADER] = job
            await send(message)

        try:
            refused = self._refused(headers)
            if refused:
                await refused(scope, receive, told)
            else:
                await self._app(scope, self._limited(receive), told)
        except ClientGoneError:
            status = _GONE
        except Exception as error:  # noqa: BLE001  # a defect of ours is told as such, and nothing of it but that
            _log.error("http.defect", error=error, request=request_id)
            reports.capture(error)
            if status == 0:
                await problems.answer(InternalError("A defect; the log of asrq http has more."))(scope, receive, told)
        finally:
            route = getattr(scope.get("route"), "path", None)
            _log.info(
                "http.request",
                request=request_id,
                method=scope["method"],
                route=route,
                status=status or _GONE,
                job=scope["state"].get("job"),
                seconds=round(time.monotonic() - began, 3),
            )

    def _refused(self, headers: Headers) -> Response | None:
        """Return the answer for a request whose headers say that it may not come in."""
        host = headers.get("host", "")
        # A web page may give its own name this address, and then talk to us as to itself: the name shows it.
        if not endpoint.is_address(urlsplit(f"//{host}").hostname or ""):
            return problems.answer(
                InvalidRequestError(
                    "Without keys this answers only under localhost or an IP address.",
                    hint="Call it by its address.",
                ),
                status=403,
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return problems.answer(InvalidRequestError("Pages of other sites may not call this."), status=403)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._longest:
            return problems.answer(self._too_large())
        return None

    def _limited(self, receive: Receive) -> Receive:
        """Return `receive` with an end to what a client may send, and to its silence while it does."""
        size, whole = 0, False

        async def limited() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), _SILENT_S)
            except TimeoutError:
                silent = InvalidRequestError(f"Nothing has come for {_SILENT_S:.0f} s.")
                raise problems.RefusedError(silent, 408) from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > self._longest:
                raise problems.RefusedError(self._too_large(), 413)
            return message

        return limited

    def _too_large(self) -> AsrqError:
        return AudioTooLargeError(
            f"The upload has more than {self._max_mb} MiB, which is the limit.",
            hint="Send compressed audio (opus, mp3).",
        )
