"""What happens to a request before and after its route: who may come in, how much it may bring, what the log says."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asrq_jobs.errors import (
    AsrqError,
    AudioTooLargeError,
    InternalError,
    InvalidRequestError,
    QuotaError,
    UnauthorizedError,
)
from asrq_jobs.settings import Settings
from asrq_worker.http import access, problems
from asrq_worker.http.access import Holder
from asrq_worker.http.gateway import JOB_HEADER, ClientGoneError
from asrq_worker.monitor import catalogue
from asrq_worker.monitor.registry import Metrics
from asrq_worker.process import endpoint
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.http")

_ID_HEADER = "X-Request-Id"
_KEPT = "/v1/"  # what is below it needs a key
_KEY_PROTOCOL = "openai-insecure-api-key."
_FORM_BYTES = 1 << 20  # what a form may have beside the audio
_HEAD_BYTES = 1 << 15  # of all headers
_SILENT_S = 60.0  # an upload that brings nothing for so long is given up
_DEFECT = 1011  # to a WebSocket
_GONE = 499  # as nginx logs it


class Door:
    """An ASGI middleware around all routes."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, holders: Sequence[Holder]) -> None:
        self._app = app
        self._metrics = metrics
        self._holders = holders
        self._origins = settings.http_origins
        self._running: Counter[str] = Counter()
        self._longest = settings.max_audio_mb * 2**20 + _FORM_BYTES
        self._max_mb = settings.max_audio_mb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        state = scope.setdefault("state", {})
        state["holder"] = None
        began, status, counted = time.monotonic(), 0, ExitStack()

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(scope=message)
                out[_ID_HEADER] = request_id
                if job := state.get("job"):
                    out[JOB_HEADER] = job
                if scope["path"].startswith(_KEPT):
                    out["Cache-Control"] = "no-store"  # what was said is in no cache
            elif not message.get("more_body", False):
                counted.close()  # before the client can know that it may ask again
            await send(message)

        try:
            refused = self._refused(headers)
            if refused is None and self._holders and scope["path"].startswith(_KEPT):
                state["holder"] = access.holder(headers.get("authorization", ""), self._holders)
            if refused:
                await refused(scope, receive, told)
            else:
                self._count(state["holder"], counted)
                await self._app(scope, self._limited(receive), told)
        except UnauthorizedError as error:
            answer = problems.answer(error)
            answer.headers["WWW-Authenticate"] = "Bearer"
            await answer(scope, receive, told)
        except QuotaError as error:
            await problems.answer(error)(scope, receive, told)
        except ClientGoneError:
            status = _GONE
        except Exception as error:  # noqa: BLE001  # a defect of ours is told as such, and nothing of it but that
            _log.defect("http.defect", error, request=request_id)
            if status == 0:
                await problems.answer(InternalError("A defect; the log of asrq http has more."))(scope, receive, told)
        finally:
            counted.close()
            self._note(scope, request_id, status or _GONE, time.monotonic() - began)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a WebSocket through. Why a client may not talk is told by the route, as browsers do not show a status."""
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        state |= {"holder": None, "refused": None}
        began, status, counted = time.monotonic(), 0, ExitStack()

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.http.response.start":
                status = message["status"]
            await send(message)

        try:
            if refused := self._refused(headers):
                await refused(scope, receive, told)
                return
            try:
                if self._holders:
                    state["holder"] = access.holder(_key_of(headers, scope["subprotocols"]), self._holders)
                self._count(state["holder"], counted)
            except (UnauthorizedError, QuotaError) as error:
                state["refused"] = error
            await self._app(scope, receive, told)
        except Exception as error:  # noqa: BLE001  # as above
            _log.defect("http.defect", error)
            with suppress(RuntimeError):  # it is closed, or was never open
                await send({"type": "websocket.close", "code": _DEFECT})
        finally:
            counted.close()
            self._note(scope, _request_id(headers), status or _GONE, time.monotonic() - began)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        """Write into log and metrics what became of a request."""
        state, route = scope["state"], getattr(scope.get("route"), "path", None)
        self._metrics.count(catalogue.HTTP_REQUESTS, route=route or "", status=str(status))
        self._metrics.observe(catalogue.HTTP_SECONDS, seconds, route=route or "")
        _log.info(
            "http.request",
            request=request_id,
            method=scope.get("method", "GET"),
            route=route,
            status=status,
            job=state.get("job"),
            key=state["holder"] and state["holder"].name,
            seconds=round(seconds, 3),
        )

    def _count(self, whose: Holder | None, until: ExitStack) -> None:
        """Count a request of the holder of a key, until `until` is closed.

        Raises:
            QuotaError: there are as many already as there may be.
        """
        if whose is None:
            return
        if whose.requests is not None and self._running[whose.name] >= whose.requests:
            raise QuotaError(
                f"This key has {whose.requests} requests here already, which is its limit.",
                hint="Wait for one of them to be answered.",
            )
        self._running[whose.name] += 1
        until.callback(self._running.subtract, [whose.name])

    def _refused(self, headers: Headers) -> Response | None:
        """Return the answer for a request whose headers say that it may not come in."""
        host = headers.get("host", "")
        # A web page may give its own name this address, and then talk to us as to itself: the name shows it.
        called = _parts(f"//{host}")
        if not self._holders and not endpoint.is_address((called and called.hostname) or ""):
            return problems.answer(
                InvalidRequestError(
                    "Without keys this answers only under localhost or an IP address.",
                    hint="Call it by its address.",
                ),
                status=403,
            )
        origin = headers.get("origin")
        page = _parts(origin or "")
        if origin is not None and origin not in self._origins and (page is None or page.netloc != host):
            return problems.answer(InvalidRequestError("Pages of other sites may not call this."), status=403)
        if sum(len(name) + len(value) for name, value in headers.raw) > _HEAD_BYTES:
            return problems.answer(InvalidRequestError("The head of the request is too long."), status=431)
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
                async with asyncio.timeout(_SILENT_S):
                    message = await receive()
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


def _request_id(headers: Headers) -> str:
    given = headers.get(_ID_HEADER, "")
    return given if re.fullmatch(r"[\w.-]{1,64}", given, re.ASCII) else uuid.uuid4().hex


def _key_of(headers: Headers, subprotocols: Sequence[str]) -> str:
    """Return the key of a WebSocket, as a header has it: pages cannot set one, and OpenAI has them name a protocol."""
    named = [name.removeprefix(_KEY_PROTOCOL) for name in subprotocols if name.startswith(_KEY_PROTOCOL)]
    return f"Bearer {named[0]}" if named else headers.get("authorization", "")


def _parts(address: str) -> SplitResult | None:
    """Return the parts of an address that somebody else has written; None: it is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return None
