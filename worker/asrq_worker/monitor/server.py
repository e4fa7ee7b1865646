"""The HTTP server for /metrics, /healthz and /readyz: small, and of no danger to the process that it tells about.

It has a few threads, and no client may keep one for long: slow ones are cut off, and when all threads are busy, new
ones are turned away.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from asrq_jobs.errors import InUseError
from asrq_jobs.settings import Settings
from asrq_worker.monitor.health import Health
from asrq_worker.monitor.registry import CONTENT_TYPE, Metrics
from asrq_worker.process import endpoint
from asrq_worker.process.supervision import Supervised
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.monitor")

_THREADS = 8
_PATIENCE_S = 10.0  # for a whole request and its answer
_LOOK_S = 0.2


class Monitor(Protocol):
    """What is told. `metrics` are those of the process; `alive` and `ready` judge it now."""

    @property
    def metrics(self) -> Metrics: ...

    def alive(self) -> Health: ...

    def ready(self) -> Health: ...

    def close(self) -> None: ...


@contextmanager
def listening(settings: Settings, monitor: Monitor) -> Iterator[None]:
    """Serve what a monitor tells while the block runs, if there is a port for it; then close the monitor.

    Raises:
        InUseError: the address cannot be listened on.
    """
    server: _MonitorServer | None = None
    try:
        if settings.metrics_port:
            server = _MonitorServer(settings.metrics_host, settings.metrics_port, monitor)
            _log.info("monitor.listening", host=settings.metrics_host, port=server.port)
        yield
    finally:
        if server is not None:
            server.close()
        monitor.close()


class _MonitorServer:
    """Serves until closed. Nothing in it waits for a client: `close` takes a moment."""

    def __init__(self, host: str, port: int, monitor: Monitor) -> None:
        """Listen at once; port 0 takes a free one.

        Raises:
            InUseError: the address cannot be listened on.
        """
        answers = {
            "/metrics": lambda: (200, CONTENT_TYPE, monitor.metrics.exposition()),
            "/healthz": lambda: _health(monitor.alive()),
            "/readyz": lambda: _health(monitor.ready()),
        }
        try:
            self._server = _Server((host, port), answers)
        except OSError as error:
            raise InUseError(
                f"Cannot listen on {endpoint.written(host, port)} for metrics: {error.strerror}.",
                hint="Choose another with --metrics-port; each worker and reaper of a machine needs its own.",
            ) from None
        self._thread = Supervised("monitor", lambda: self._server.serve_forever(_LOOK_S))
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening and cut off all clients."""
        self._thread.stop()
        self._server.shutdown()
        self._thread.join(_PATIENCE_S)
        self._server.cut_off(time.monotonic() + _PATIENCE_S)
        self._server.server_close()


_Answer = tuple[int, str, bytes]


def _health(health: Health) -> _Answer:
    body = json.dumps(health.document()).encode() + b"\n"
    return (200 if health.ok else 503), "application/json", body


class _Server(ThreadingHTTPServer):
    allow_reuse_address = sys.platform != "win32"  # there it would share the port with a program that has it
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], answers: dict[str, Callable[[], _Answer]]) -> None:
        self.address_family = endpoint.family(address[0])
        self.answers = answers
        self._free = threading.BoundedSemaphore(_THREADS)
        self._lock = threading.Lock()
        self._since: dict[socket.socket, float] = {}
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        with self._lock:
            self._since[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started now
            self._over(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._over(request)

    def _over(self, request: socket.socket) -> None:
        with self._lock:
            del self._since[request]
        self._free.release()

    def service_actions(self) -> None:
        """Called some times a second."""
        self.cut_off(time.monotonic())

    def cut_off(self, now: float) -> None:
        """End the connections that have taken too long by then; their threads notice."""
        with self._lock:
            for connection, since in self._since.items():
                if now - since >= _PATIENCE_S:
                    _end(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore what clients do wrong; `_Handler` reports defects of ours."""


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended meanwhile


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "asrq"
    sys_version = ""

    def do_GET(self) -> None:
        answer = self.server.answers.get(urlsplit(self.path).path)
        if answer is None:
            self.send_error(404)
            return
        try:
            status, kind, body = answer()
        except Exception as error:  # noqa: BLE001  # a defect of ours must not look like silence
            _log.defect("monitor.defect", error)
            self.send_error(500)
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Log nothing: probes ask every few seconds."""
