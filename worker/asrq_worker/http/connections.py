"""Connections: one that sends no whole head of a request within some seconds is not kept open for it."""

from __future__ import annotations

import asyncio
import json
import socket
from http import HTTPStatus

from uvicorn.protocols.http.h11_impl import H11Protocol

from asrq_jobs.errors import AsrqError, InvalidRequestError
from asrq_worker.http import problems

HEAD_S = 20.0
"""From the connection, or the first byte of a later request, to the end of a request's head."""
_LINGER_S = 2.0


class Connection(H11Protocol):
    """Uvicorn's, which waits for a head forever: a client with many connections could keep all others out."""

    _patience: asyncio.TimerHandle | None = None
    _over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a request."""
        super().connection_made(transport)
        # asyncio does so itself, but not with a listener whose protocol was not named: the body would wait for the
        # client to acknowledge the head, which takes it 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what has come: the whole head, or only a part of it."""
        if self._over:
            return
        super().data_received(data)
        if self.transport.get_protocol() is not self:  # it is a WebSocket now
            self._stop_waiting()
            return
        begun = self.cycle is not None  # as uvicorn has it at first
        if begun and not self.cycle.response_complete:
            self._stop_waiting()
        elif not self.transport.is_closing():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._patience is None and not self._over:
            self._patience = self.loop.call_later(HEAD_S, self._refuse)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, as uvicorn does, but with a code."""
        del msg
        self._end(InvalidRequestError("This is no HTTP request that can be read."), HTTPStatus.BAD_REQUEST)

    def _refuse(self) -> None:
        self._end(InvalidRequestError(f"No request has come for {HEAD_S:.0f} s."), HTTPStatus.REQUEST_TIMEOUT)

    def _end(self, error: AsrqError, status: HTTPStatus) -> None:
        body = json.dumps(problems.document(error, status=status)).encode()
        head = f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self.transport.write(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
        # Closed while something still comes, the connection would be reset, and the answer might be lost.
        self._over = True
        self._stop_waiting()
        self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)
