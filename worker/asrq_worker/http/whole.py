"""An answer after which something is done, but only if the client was there until all of it was sent."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asrq_worker.http.gateway import unless_left

_PART = 1 << 16  # bytes that are handed on together: between two of them a client that leaves is noticed


class WholeAnswer(Response):
    """One whose `background` is left out if the client leaves before its end.

    The end is when the system has taken it: what is lost on the way after that nobody can see.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it.

        Raises:
            ClientGoneError: the client went away before.
        """
        del scope
        await unless_left(receive, self._send(send))
        if self.background is not None:
            await self.background()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for first in range(0, len(self.body), _PART):
            part = bytes(self.body[first : first + _PART])
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)  # to hear of it, as nothing waits where there is room for more
        await send({"type": "http.response.body", "body": b""})
