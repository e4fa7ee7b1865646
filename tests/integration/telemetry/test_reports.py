"""Error reports reach a Sentry-compatible endpoint: defects, once, and nothing that a user said."""

from __future__ import annotations

import gzip
import importlib
import json
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.processes import worker

from asrq_jobs import Client, PathAudio, __version__
from asrq_jobs.errors import (
    AsrqError,
    AudioNotFoundError,
    EngineCrashedError,
    InternalError,
    OutOfMemoryError,
    QueueUnreachableError,
    SettingsError,
)
from asrq_jobs.settings import Settings
from asrq_worker.telemetry import reports

SAID = "the patient"


@dataclass
class Ingest:
    """A local endpoint that keeps the envelopes it is sent."""

    dsn: str = ""
    envelopes: queue.Queue[str] = field(default_factory=queue.Queue)

    def event(self, seconds: float = 20) -> dict[str, Any]:
        """Wait for the next event."""
        return _event(self.envelopes.get(timeout=seconds))

    def drained(self) -> list[dict[str, Any]]:
        """Return the events that have come and were not asked for yet."""
        return [_event(self.envelopes.get_nowait()) for _ in range(self.envelopes.qsize())]


def _event(envelope: str) -> dict[str, Any]:
    """The one event of an envelope: a header, an item's header, the item; each a line of JSON."""
    _, item, event = map(json.loads, envelope.splitlines())
    assert item["type"] == "event"
    return dict(event)


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    kept = Ingest()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            encoding = self.headers.get("Content-Encoding")
            if encoding == "br":  # the SDK's choice where the package is installed
                body = importlib.import_module("brotli").decompress(body)
            kept.envelopes.put((gzip.decompress(body) if encoding == "gzip" else body).decode())
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    kept.dsn = f"http://key@127.0.0.1:{server.server_address[1]}/1"
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def reporting(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ingest]:
    """Reports switched on in this process."""
    import sentry_sdk

    monkeypatch.setenv("SENTRY_ENVIRONMENT", "test")
    reports.configure(Settings(sentry_dsn=SecretStr(ingest.dsn), model="/models/private/base"))
    yield ingest
    reports.close()
    sentry_sdk.get_global_scope().clear()
    sentry_sdk.get_global_scope().set_client(None)


def _raise(error: Exception) -> Exception:
    prompt = f"{SAID} {time.time()}"  # a local variable, as a defect would have them
    try:
        raise error from ValueError(prompt)
    except type(error) as raised:
        return raised


def test_a_defect_is_reported_with_its_tags_and_without_its_words(reporting: Ingest) -> None:
    import sentry_sdk

    reports.name_worker("gpu-1")
    sentry_sdk.add_breadcrumb(message=SAID)
    sentry_sdk.set_user({"username": SAID})
    error = _raise(RuntimeError(f"/home/anna/diagnosis.wav says: {SAID}"))
    thread = threading.Thread(target=reports.capture, args=(error,), kwargs={"job_id": "job-1", "lane": "batch"})
    thread.start()  # slots are threads, and the SDK keeps most of its state by thread
    thread.join()
    envelope = reporting.envelopes.get(timeout=120)
    event = _event(envelope)
    assert (event["environment"], event["release"]) == ("test", f"asrq@{__version__}")
    tags = event["tags"]
    assert tags.pop("python")
    assert tags.pop("system")
    assert tags == {"job_id": "job-1", "lane": "batch", "backend": "whisper", "model": "base", "worker": "gpu-1"}
    assert [value["type"] for value in event["exception"]["values"]] == ["ValueError", "RuntimeError"]
    frame = event["exception"]["values"][-1]["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["filename"]) == ("_raise", "test_reports.py")
    for secret in (SAID, "anna", "private", socket.gethostname(), str(Path(__file__).parent)):
        assert secret not in envelope


def test_an_event_holds_nothing_that_is_not_listed() -> None:
    file = f"C:\\{SAID}\\x.py"
    frame = {"function": "f", "filename": file, "abs_path": file, "vars": {"prompt": SAID}}
    raised = {"type": "OSError", "value": SAID, "raw_stacktrace": SAID, "stacktrace": {"frames": [frame]}}
    event = {
        "event_id": "1", "level": "error", "exception": {"values": [raised]}, "request": {"url": SAID},
        "user": {"id": SAID}, "extra": {"text": SAID}, "breadcrumbs": {"values": [SAID]}, "server_name": SAID,
        "contexts": {"job": SAID}, "logentry": {"message": SAID},
    }  # fmt: skip
    sent = reports._scrubbed(event, {})  # type: ignore[arg-type]  # a dictionary as the SDK gives it
    assert SAID not in json.dumps(sent)
    assert sent["exception"]["values"][0]["stacktrace"]["frames"] == [{"function": "f", "filename": "x.py"}]


def test_what_ended_a_process_is_told_without_paths(reporting: Ingest) -> None:
    reports.capture(EngineCrashedError("The engine process died (SIGSEGV) in /home/anna/x.so: 'a b'."), backend="qwen")
    event = reporting.event()
    (value,) = event["exception"]["values"]
    assert value["value"] == "The engine process died (SIGSEGV) in … …."
    assert (event["tags"]["code"], event["tags"]["backend"], event["tags"]["model"]) == (
        "engine_crashed",
        "qwen",
        "1.7b",
    )


@pytest.mark.parametrize(
    "error", [AudioNotFoundError("x"), OutOfMemoryError("x"), QueueUnreachableError("x"), SettingsError("x")]
)
def test_what_is_to_be_expected_is_not_reported(reporting: Ingest, error: AsrqError) -> None:
    reports.capture(error, job_id="job-1")
    reports.close()
    assert reporting.drained() == []


def test_the_same_defect_is_reported_once_and_another_one_too(reporting: Ingest) -> None:
    for attempt in range(5):
        reports.capture(_raise(RuntimeError("x")), job_id=f"job-{attempt}")
        reports.capture(InternalError(f"Try {attempt}."), backend="qwen")
    reports.capture(_raise(KeyError("x")))
    reports.close()
    types = [event["exception"]["values"][-1]["type"] for event in reporting.drained()]
    assert sorted(types) == ["InternalError", "KeyError", "RuntimeError"]


def test_what_waits_is_sent_at_the_end_and_an_endpoint_that_never_answers_holds_nobody_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        dsn = f"http://key@127.0.0.1:{deaf.getsockname()[1]}/1"
        program = (
            "import time\n"
            "from asrq_worker.telemetry import reports\n"
            "from asrq_jobs.settings import Settings\n"
            f"reports.configure(Settings(sentry_dsn={dsn!r}))\n"
            "began = time.monotonic()\n"
            "for number in range(300):\n"
            "    reports.capture(type(f'Defect{number}', (Exception,), {})('x'))\n"
            "captured = time.monotonic()\n"
            "reports.close()\n"
            "print(captured - began, time.monotonic() - captured)\n"
        )
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    capturing_s, closing_s = map(float, done.stdout.split())
    assert capturing_s < 20  # 300 at once, more than ever; waiting for answers would take forever
    assert 1.5 < closing_s < 20
    assert time.monotonic() - began < 60


def test_a_dsn_that_is_none_is_a_wrong_setting() -> None:
    for wrong in (
        "nonsense",
        "https://ge/heim@host/1",
        "https://u:12/heim@host/x",
        "https://u:geheim/1",
        "redis://geheim@h",
    ):
        with pytest.raises(SettingsError, match="sentry_dsn") as caught:
            reports.configure(Settings(sentry_dsn=SecretStr(wrong)))
        assert "heim" not in caught.value.message


def test_without_a_dsn_the_sdk_is_not_even_loaded() -> None:
    program = (
        "import sys, asrq_worker.programs.worker, asrq_worker.reaper.reaper\n"
        "from asrq_worker.telemetry import reports\n"
        "from asrq_jobs.settings import Settings\n"
        "reports.configure(Settings()); reports.name_worker('w'); reports.capture(RuntimeError('x')); reports.close()\n"
        "print(*[name for name in sys.modules if name.startswith('sentry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ""


def test_a_worker_reports_a_crash_of_its_engine_and_a_failing_backend_once_and_no_mistake_of_a_user(
    client: Client, valkey_url: str, ingest: Ingest, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTRY_ENVIRONMENT", "ward 7")
    audio = PathAudio(path=str(data / "hello-en.flac"))
    settings = {"sentry_dsn": ingest.dsn, "audio_roots": data, "worker_name": "gpu-1"}
    with worker(valkey_url, model="m", lanes="batch:1", max_attempts=1, **settings) as running:
        submitted = [
            client.submit(PathAudio(path=str(data / "missing.wav"))),
            client.submit(audio, prompt=f"crash-once:{tmp_path / 'crashed'}"),
            client.submit(audio, prompt=f"fail {SAID}", hotwords=[SAID], id="failing"),
            client.submit(audio, prompt="fail"),
        ]
        statuses = [client.wait(each.id, timeout_s=120).status for each in submitted]
        assert statuses == ["failed", "completed", "failed", "failed"]
        assert running.end() == 0
    envelopes = [ingest.envelopes.get_nowait() for _ in range(ingest.envelopes.qsize())]
    events = {event["tags"]["code"]: event for event in map(_event, envelopes)}
    assert len(envelopes) == len(events)
    assert set(events) == {"engine_crashed", "inference_failed"}
    assert {event["environment"] for event in events.values()} == {"ward 7"}
    tags = events["inference_failed"]["tags"]
    assert (tags["job_id"], tags["lane"], tags["backend"], tags["model"]) == ("failing", "batch", "fake", "m")
    assert tags["worker"].startswith("gpu-1-")
    for secret in (SAID, str(data), str(tmp_path), "hello-en"):
        assert secret not in "".join(envelopes)
