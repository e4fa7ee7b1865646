"""Connections: one that sends no whole head of a request within some seconds is not kept open for it."""

from __future__ import annotations

import asyncio
import json
import socket

from uvicorn.protocols.http.h11_impl import H11Protocol

from asrq_jobs.errors import InvalidRequestError
from asrq_worker.http import problems

HEAD_S = 20.0
"""From the connection, or the first byte of a later request, to the end of a request's head."""


class Connection(H11Protocol):
    """Uvicorn's, which waits for a head forever: a client with many connections could keep all others out."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a request."""
        super().connection_made(transport)
        # asyncio does so itself, but not with a listener whose protocol was not named: the body would wait for the
        # client to acknowledge the head, which takes it 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what has come: the whole head, or only a part of it."""
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
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_S, self._refuse)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self) -> None:
        error = InvalidRequestError(f"No request has come for {HEAD_S:.0f} s.")
        body = json.dumps(problems.document(error, status=408)).encode()
        head = f"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self.transport.write(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
        self.transport.close()
