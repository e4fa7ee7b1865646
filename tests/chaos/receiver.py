"""Receives the webhooks of a chaos run."""

from __future__ import annotations

import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from asrq_jobs.result import Result
from asrq_jobs.webhook import SIGNATURE_HEADER, Payload, verify

SECRET = "the operator's"  # noqa: S105  # of these tests


class Receiver:
    """Listens on loopback. A context manager."""

    def __init__(self) -> None:
        self._got: defaultdict[str, list[Payload]] = defaultdict(list)
        self.forged = 0
        """Deliveries whose signature is wrong."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if verify(SECRET, self.headers[SIGNATURE_HEADER], body):
                    payload = Payload.model_validate_json(body)
                    receiver._got[payload.id].append(payload)
                else:
                    receiver.forged += 1
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Be silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Receiver:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wrong(self, result: Result, *, webhook: bool) -> list[str]:
        """What is wrong with what was told of the end of a job; the same may be told twice."""
        code = result.error.code if result.error else None
        told = {(payload.status, payload.code, payload.at) for payload in self._got[result.id]}
        right = [end[:2] for end in told] == ([(result.status, code)] if webhook else [])
        return [] if right else [f"{result.id} ended as {result.status} ({code}), its webhook was told {told}"]
