"""Serves the gateway in a thread of its own, with one event loop for all requests."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from asrq_jobs.errors import InUseError
from asrq_jobs.settings import Settings
from asrq_worker.http import realtime
from asrq_worker.http.app import create_app
from asrq_worker.http.connections import Connection
from asrq_worker.http.store import Store
from asrq_worker.monitor.health import Health, gateway_serves
from asrq_worker.monitor.redis_probe import RedisProbe
from asrq_worker.monitor.registry import Metrics
from asrq_worker.process import endpoint
from asrq_worker.process.supervision import Supervised

_LOOK_S = 0.02
_END_S = 5.0
_REQUESTS = 1000  # at a time, uploads and waits; more are told to come back


class GatewayMonitor:
    """What a gateway tells at its metrics port: it is alive as long as it answers, and ready while Redis does."""

    def __init__(self, settings: Settings) -> None:
        self.metrics = Metrics()
        self._probe = RedisProbe(settings)

    def alive(self) -> Health:
        """Return that it is."""
        return Health("ready", ())

    def ready(self) -> Health:
        """Judge whether requests can become jobs."""
        return gateway_serves(self._probe.error())

    def close(self) -> None:
        """Close the connection to Redis."""
        self._probe.close()


@contextmanager
def serving(settings: Settings, host: str, port: int, metrics: Metrics | None = None) -> Iterator[int]:
    """Serve while the block runs; gives the port. At its end what waits gets `grace_s`, then its connection is cut.

    Raises:
        InUseError: the address cannot be listened on.
        SettingsError: the store, or the file of keys, cannot be used.
    """
    if settings.http_store:
        Store(settings.http_store)  # what is wrong with it is to be said now
    app = create_app(settings, metrics or Metrics())
    try:
        listener = socket.create_server((host, port), family=endpoint.family(host), backlog=_REQUESTS)
    except OSError as error:
        raise InUseError(
            f"Cannot listen on {endpoint.written(host, port)}: {error.strerror}.",
            hint="Choose another port; 0 takes a free one.",
        ) from None
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_REQUESTS,
        http=Connection,
        ws=WebSocketsSansIOProtocol,
        ws_max_size=2 * realtime.LONGEST,  # so that one that is too long can be answered
        ws_per_message_deflate=False,  # a few bytes would become many
        timeout_graceful_shutdown=int(settings.grace_s),
    )
    server = uvicorn.Server(config)
    thread = Supervised("http", lambda: server.run(sockets=[listener]))
    thread.start()
    try:
        while not server.started and thread.alive:
            time.sleep(_LOOK_S)
        yield listener.getsockname()[1]
    finally:
        thread.stop()
        server.should_exit = True
        thread.join(settings.grace_s + _END_S)
        listener.close()
