"""What users say, and where it lies, stays out of the logs at every level. (Error reports: worker/test_reports.py.)"""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from redis import Redis
from support.host import serving
from support.processes import worker

from asrq_jobs import Client, keys
from asrq_jobs.request import PathAudio, Request, UrlAudio
from asrq_jobs.result import Result
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.telemetry import logs

SECRET = "Rosebud"  # noqa: S105  # what must not be told, and guards nothing


@pytest.fixture
def site(data: Path) -> Iterator[str]:
    """Serves speech at /good and redirects elsewhere from /to; all else is not there."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/to"):
                self.send_response(302)
                self.send_header("Location", f"ftp://{SECRET}/")
                self.end_headers()
            elif self.path.startswith("/good"):
                self.send_response(200)
                self.end_headers()
                self.wfile.write((data / "hello-en.flac").read_bytes())
            else:
                self.send_error(404, SECRET)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("level", ["info", "debug"])
def test_jobs_that_end_in_every_way(
    client: Client, valkey_url: str, data: Path, tmp_path: Path, site: str, level: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / f"{SECRET}.wav").write_bytes(f"{SECRET}".encode())
    (root / f"good {SECRET}.flac").write_bytes((data / "hello-en.flac").read_bytes())
    speech = client.upload(data / "hello-en.flac", name=f"{SECRET}.flac")
    jobs = {
        "said": (speech, {"prompt": SECRET, "hotwords": [SECRET]}),
        "fails": (speech, {"prompt": f"fail {SECRET}", "retries": 0}),
        "crashes": (speech, {"prompt": f"crash {SECRET}", "retries": 0}),
        "unreadable": (PathAudio(path=str(root / f"{SECRET}.wav")), {}),
        "good-path": (PathAudio(path=str(root / f"good {SECRET}.flac")), {}),
        "outside": (PathAudio(path=f"/{SECRET}/a.wav"), {}),
        "missing": (PathAudio(path=str(root / SECRET / "a.wav")), {}),
        "good-url": (UrlAudio(url=f"{site}/good?token={SECRET}"), {}),
        "bad-url": (UrlAudio(url=f"{site}/bad/{SECRET}.wav?token={SECRET}"), {"retries": 0}),
        "redirected": (UrlAudio(url=f"{site}/to?token={SECRET}"), {"retries": 0}),
        "other-scheme": (UrlAudio(url=f"s3://{SECRET}/{SECRET}"), {}),
        "unserved": (speech, {"model": SECRET}),
    }
    with worker(
        valkey_url, lanes="batch:2", log_level=level, audio_roots=root, url_schemes="http", url_private_hosts=True
    ) as running:
        for job_id, (audio, options) in jobs.items():
            client.submit(audio, id=job_id, **options)  # type: ignore[arg-type]  # of every kind
        client.redis.hset(
            keys.job("raw"), mapping={"data": f'["{SECRET}", null, ["{SECRET}"], {{}}]', "origin": SECRET}
        )
        client.redis.rpush(keys.queue("batch"), "raw")
        client.redis.publish(keys.CONTROL, json.dumps({"command": SECRET}))
        results = {job_id: client.wait(job_id, timeout_s=120) for job_id in [*jobs, "raw"]}
        assert running.end() == 0
    said = json.dumps(running.lines, ensure_ascii=False)
    assert {job_id for job_id, result in results.items() if result.status == "completed"} == {
        "said", "good-path", "good-url",
    }  # fmt: skip
    for job_id in [*jobs, "raw"]:
        assert f'"{job_id}"' in said, "the log does tell of the job"
    assert SECRET not in said
    assert results["said"].text
    assert results["said"].text not in said


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_defect_is_logged_with_its_stack_and_without_its_words(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    settings = client.settings.model_copy(update={"log_format": style, "log_level": "debug", "lease_s": 3})

    def broken(request: Request, control: JobControl, journal: Journal) -> Result:
        try:
            raise FileNotFoundError(2, "No such file", f"/{SECRET}/a.wav")
        except OSError as error:
            raise ValueError(f"{SECRET} is wrong") from error

    try:
        logs.configure(settings)
        with serving(redis, settings, broken):
            client.submit(PathAudio(path="/a.wav"), id="job", retries=0)
            result = client.wait("job", timeout_s=120)
        logging.getLogger("fsspec").debug("opening %s", SECRET)
    finally:
        root.handlers[:], root.level = before
    assert result.error is not None
    assert result.error.code == "internal"
    assert SECRET not in result.to_json()
    for told in ("job.defect", "FileNotFoundError", "ValueError", "in broken"):
        assert told in stderr.getvalue()
    assert f"/{SECRET}" not in stderr.getvalue()
    assert f"{SECRET} is" not in stderr.getvalue()
    assert f"opening {SECRET}" not in stderr.getvalue()
