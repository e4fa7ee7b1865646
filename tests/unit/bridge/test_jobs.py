"""Jobs in flight, on a pipeline that does as a test tells it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from asrq_jobs.errors import (
    AsrqError,
    CanceledError,
    DecoderCrashedError,
    JobConflictError,
    JobNotFoundError,
    NotServedError,
    QueueFullError,
    ShutdownError,
    StorageError,
)
from asrq_jobs.request import BlobAudio, PathAudio, Request
from asrq_jobs.result import AudioInfo, Result
from asrq_jobs.settings import Settings
from asrq_worker.backends.base import Transcript
from asrq_worker.bridge import jobs as bridge_jobs
from asrq_worker.bridge.dictations import Dictations
from asrq_worker.bridge.jobs import Jobs
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.job.pipeline import Pipeline
from asrq_worker.storage.spool import Spool

NONE_LIVE = Dictations(cast("Spool", None), most=0, longest_s=0)

Work = Callable[[Request, JobControl, Journal], Result]


class ScriptedPipeline:
    """Runs what the test gives it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.storage = self
        self.problems: list[str] = []

    def problem(self) -> str | None:
        """As the real one's storage."""
        return self.problems.pop() if self.problems else None

    def run(self, request: Request, control: JobControl, journal: Journal) -> Result:
        """As the real one."""
        return self._work(request, control, journal)

    def failure(self, request: Request, error: AsrqError) -> Result:
        """As the real one."""
        status = "canceled" if isinstance(error, CanceledError) else "failed"
        return Result(id=request.id, status=status, error=error.info())


class Sent:
    """What the application would read."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._news = threading.Condition()

    def __call__(self, line: dict[str, Any]) -> None:
        with self._news:
            self.lines.append(line)
            self._news.notify_all()

    def wait_for(self, op: str, job_id: str, event: str | None = None) -> dict[str, Any]:
        """Wait for a line of a job."""

        def found() -> dict[str, Any] | None:
            return next(
                (
                    line
                    for line in self.lines
                    if (line["op"], line["id"], line.get("event", {}).get("type")) == (op, job_id, event)
                ),
                None,
            )

        with self._news:
            line = self._news.wait_for(found, 5)
        assert line is not None, f"it did not come: {self.lines}"
        return line

    def result(self, job_id: str) -> dict[str, Any]:
        """Wait for the result of a job."""
        found: dict[str, Any] = self.wait_for("result", job_id)["result"]
        return found


def done(request: Request, control: JobControl, journal: Journal) -> Result:
    return Result(id=request.id, status="completed", text="done", audio=AudioInfo(name="spool-file"))


def until_stopped(request: Request, control: JobControl, journal: Journal) -> Result:
    assert control.wake.wait(5)
    control.check()
    raise AssertionError("it was not stopped")


def jobs(work: Work, **settings: Any) -> tuple[Jobs, Sent]:
    sent = Sent()
    return Jobs(cast("Pipeline", ScriptedPipeline(work)), Settings(**settings), sent, NONE_LIVE), sent


def request(job_id: str, lane: str = "interactive", **fields: Any) -> Request:
    return Request.build(**{"id": job_id, "lane": lane, "audio": PathAudio(path="/clip.wav")} | fields)


def add(to: Jobs, asked: Request, upload: Path | None = None) -> None:
    to.check(asked)
    to.add(asked, upload)


def test_a_full_lane_leaves_the_other_free() -> None:
    gate = threading.Event()

    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        assert request.lane == "interactive" or gate.wait(5)
        return done(request, control, journal)

    running, sent = jobs(work, lanes="interactive:1,batch:1", lane_depth=2)
    running.start()
    add(running, request("b1", "batch"))
    sent.wait_for("event", "b1", "started")
    for job_id in ("b2", "b3"):
        add(running, request(job_id, "batch"))
    assert sent.wait_for("event", "b3", "queued")["event"]["depth"] == 2
    with pytest.raises(QueueFullError, match="2 jobs wait"):
        running.check(request("b4", "batch"))
    add(running, request("quick"))
    assert sent.result("quick")["status"] == "completed"
    assert running.counts() == {"waiting": {"interactive": 0, "batch": 2}, "running": {"interactive": 0, "batch": 1}}
    gate.set()
    assert [sent.result(job_id)["status"] for job_id in ("b1", "b2", "b3")] == ["completed"] * 3


def test_refused() -> None:
    waiting, _ = jobs(done, lanes="batch:1")
    add(waiting, request("a", "batch"))
    with pytest.raises(JobConflictError):
        waiting.check(request("a", "batch"))
    with pytest.raises(NotServedError, match="interactive"):
        waiting.check(request("b"))
    with pytest.raises(JobNotFoundError):
        waiting.cancel("nobody")


def test_an_attempt_goes_on_where_the_last_one_stopped() -> None:
    seen: list[dict[str, Transcript]] = []

    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        seen.append(dict(journal.load()))
        if len(seen) == 1:
            journal.save("chunk", Transcript("kept", "en"))
            raise DecoderCrashedError("It died.")
        return done(request, control, journal)

    running, sent = jobs(work, retry_delay_s=0.01)
    running.start()
    add(running, request("twice"))
    result = sent.result("twice")
    assert seen == [{}, {"chunk": Transcript("kept", "en")}]
    assert [attempt["error"] and attempt["error"]["code"] for attempt in result["attempts"]] == [
        "decoder_crashed", None,
    ]  # fmt: skip


def test_a_disk_that_cannot_be_written_costs_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_jobs, "_LOOK_S", 0.01)
    runs: list[str] = []

    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        runs.append(request.id)
        if len(runs) < 10:
            pipeline.problems += ["full"] * 3
            raise StorageError("There is no room.")
        return done(request, control, journal)

    sent, pipeline = Sent(), ScriptedPipeline(work)
    running = Jobs(cast("Pipeline", pipeline), Settings(), sent, NONE_LIVE)
    running.start()
    add(running, request("waits"))
    assert sent.wait_for("event", "waits", "retrying")["event"]["error"]["code"] == "storage_unusable"
    result = sent.result("waits")
    assert (result["status"], len(result["attempts"]), pipeline.problems) == ("completed", 1, [])


def test_cancel_between_two_attempts() -> None:
    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        raise DecoderCrashedError("It died.")

    running, sent = jobs(work, retry_delay_s=60)
    running.start()
    add(running, request("unlucky"))
    assert sent.wait_for("event", "unlucky", "retrying")["event"]["error"]["code"] == "decoder_crashed"
    running.cancel("unlucky")
    assert sent.result("unlucky")["status"] == "canceled"


def test_the_time_limit_is_that_of_an_attempt_and_not_of_the_wait() -> None:
    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        control.limit(0.15)
        control.check()
        return done(request, control, journal)

    waiting, sent = jobs(work)
    add(waiting, request("patient"))
    threading.Event().wait(0.2)
    waiting.start()
    assert sent.result("patient")["status"] == "completed"


def test_uploaded_audio_goes_with_its_job(tmp_path: Path) -> None:
    upload = tmp_path / "spool-file"
    upload.write_bytes(b"stands for audio")
    paths: list[str] = []

    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        assert isinstance(request.audio, PathAudio)
        paths.append(request.audio.path)
        return done(request, control, journal)

    running, sent = jobs(work)
    running.start()
    add(running, request("clip", audio=BlobAudio(sha256="0" * 64, bytes=16, name="clip.wav")), upload)
    assert sent.result("clip")["audio"]["name"] == "clip.wav"
    assert paths == [str(upload)]
    assert not upload.exists()


def test_stop_all_writes_every_result_first() -> None:
    running, sent = jobs(until_stopped, lanes="interactive:1")
    running.start()
    add(running, request("runs"))
    sent.wait_for("event", "runs", "started")
    add(running, request("waits"))
    running.stop_all(CanceledError("Enough."))
    ended = {line["id"]: line["result"]["status"] for line in sent.lines if line["op"] == "result"}
    assert ended == {"runs": "canceled", "waits": "canceled"}
    with pytest.raises(ShutdownError):
        add(running, request("late"))
