"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asrq_jobs.errors import AsrqError
from asrq_worker.http import problems
from asrq_worker.http.gateway import ClientGoneError, unless_left

MEDIA_TYPE = "text/event-stream"
SILENCE_S = 15.0
"""After so long without an event a comment is sent: proxies cut connections on which nothing comes."""


def message(data: Mapping[str, Any], *, event: str | None = None, id: str | None = None) -> bytes:  # noqa: A002  # the field's name
    """Return an event as it is sent."""
    fields = (("id", id), ("event", event), ("data", json.dumps(data, ensure_ascii=False)))
    return ("".join(f"{name}: {value}\n" for name, value in fields if value is not None) + "\n").encode()


class EventStream(Response):
    """An answer that goes on as long as there are messages, or until the client leaves; then `left` is called."""

    def __init__(self, messages: AsyncIterator[bytes], *, left: Callable[[], None] = lambda: None) -> None:
        super().__init__(media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]
        self._messages = messages
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del scope
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            await unless_left(receive, self._send(send))
        except ClientGoneError:
            self._left()
            raise

    async def _send(self, send: Send) -> None:
        try:
            async for part in _never_silent(self._messages):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except AsrqError as error:  # the status is sent already
            last = message(problems.document(error))
            await send({"type": "http.response.body", "body": last, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _never_silent(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        coming = asyncio.ensure_future(anext(messages, None))
        try:
            while not (await asyncio.wait({coming}, timeout=SILENCE_S))[0]:
                yield b": still here\n\n"
        finally:
            coming.cancel()  # unless it is done
        part = coming.result()
        if part is None:
            return
        yield part
