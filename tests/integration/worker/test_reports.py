"""Error reports reach a Sentry-compatible endpoint, and carry nothing that a user said."""

from __future__ import annotations

import gzip
import importlib
import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from asrq_jobs.settings import Settings
from asrq_worker import reports

SAID = "/home/anna/diagnosis.wav says: the patient"


@pytest.fixture
def ingest() -> Iterator[tuple[str, queue.Queue[bytes]]]:
    """A local endpoint that keeps the envelopes it is sent."""
    received: queue.Queue[bytes] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            encoding = self.headers.get("Content-Encoding")
            if encoding == "br":  # the SDK's choice where the package is installed
                body = importlib.import_module("brotli").decompress(body)
            received.put(gzip.decompress(body) if encoding == "gzip" else body)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://key@127.0.0.1:{server.server_address[1]}/1", received
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_defect_is_reported_without_its_words(
    ingest: tuple[str, queue.Queue[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sentry_sdk

    dsn, received = ingest
    monkeypatch.setattr(reports, "_active", False)
    reports.configure(Settings(sentry_dsn=SecretStr(dsn), environment="test", model="/models/private/base"))
    try:
        text = SAID
        try:
            raise RuntimeError(text)
        except RuntimeError as error:
            reports.capture(error, job_id="job-1")
        sentry_sdk.flush(10)
        envelope = received.get(timeout=10)
    finally:
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)
    event = json.loads(envelope.split(b"\n")[2])
    assert event["exception"]["values"][0]["type"] == "RuntimeError"
    assert event["environment"] == "test"
    assert event["release"].startswith("asrq@")
    assert (event["tags"]["job_id"], event["tags"]["backend"], event["tags"]["model"]) == ("job-1", "whisper", "base")
    assert SAID not in envelope.decode()


def test_without_a_dsn_nothing_is_loaded_or_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_active", False)
    reports.configure(Settings())
    reports.capture(RuntimeError("x"))
    assert not reports._active
