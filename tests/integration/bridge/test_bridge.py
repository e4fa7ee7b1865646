"""What an application asks of a warm bridge, and what it must not be able to break."""

from __future__ import annotations

import base64
import hashlib
import time
from pathlib import Path

import pytest

from asrq_jobs.request import Request
from asrq_jobs.result import Result

from .app import App
from .conftest import Start


def test_it_says_what_it_is(app: App) -> None:
    first, second = app.lines[:2]
    assert (first["op"], first["protocol"], first["pid"]) == ("loading", "asrq.bridge/1", app.process.pid)
    assert (second["op"], second["protocol"], second["backend"], second["model"]) == (
        "ready", "asrq.bridge/1", "fake", "m",
    )  # fmt: skip
    assert second["load_s"] >= 0
    assert "en" in second["capabilities"]["languages"]


def test_several_in_flight(app: App, clip: Path, data: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    for name in ("one", "two", "three"):
        app.transcribe(name, clip, prompt=f"until:{gate}")
        app.started(name)
    app.transcribe("four", data / "hello-ru.flac", lane="batch", language="ru")
    assert app.result("four")["language"] == "ru"
    assert not [line for line in app.lines if line["op"] == "result" and line["id"] in {"one", "two", "three"}]
    gate.touch()
    texts = {app.result(name)["text"] for name in ("one", "two", "three")}
    assert len(texts) == 1
    for name in ("one", "two", "three", "four"):
        assert app.events(name)[:2] == ["queued", "started"]
        assert {"chunk", "progress"} <= set(app.events(name))
        assert not {"completed", "failed", "canceled"} & set(app.events(name))  # the result says it, once


def test_the_result_is_that_of_a_worker(app: App, clip: Path) -> None:
    app.transcribe("whole", clip, word_timestamps=True)
    document = app.result("whole")
    result = Result.model_validate(document)
    assert result.document() == document
    assert result.status == "completed"
    assert result.words
    assert result.audio
    assert result.audio.name == clip.name
    assert result.worker
    assert result.worker.pid == app.process.pid
    assert [attempt.number for attempt in result.attempts] == [1]
    assert result.timings.queue_wait_s is not None
    assert result.created_at
    assert result.started_at
    assert result.completed_at
    assert result.created_at <= result.started_at <= result.completed_at


def test_an_id_may_be_used_again(app: App, clip: Path) -> None:
    for _ in range(2):
        here = len(app.lines)
        app.transcribe("again", clip)
        app.wait_for(lambda line: line["op"] == "result" and line["id"] == "again", after=here)


def test_cancel_while_it_runs(app: App, clip: Path, tmp_path: Path) -> None:
    at_work = tmp_path / "at-work"
    app.transcribe("slow", clip, prompt=f"touch:{at_work} sleep:30")
    app.started("slow")
    while not at_work.exists():
        time.sleep(0.01)
    began = time.monotonic()
    app.send({"op": "cancel", "id": "slow"})
    result = app.result("slow")
    assert time.monotonic() - began < 15, "its chunk goes on for longer"
    assert (result["status"], result["error"]["code"], result["text"]) == ("canceled", "canceled", None)
    assert len([line for line in app.lines if line["op"] == "result" and line["id"] == "slow"]) == 1


def test_cancel_while_it_waits_and_a_full_lane(app: App, clip: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    for name in ("busy-1", "busy-2"):
        app.transcribe(name, clip, lane="batch", prompt=f"until:{gate}")
        app.started(name)
    for name in ("waits-1", "waits-2", "waits-3", "too-many"):
        app.transcribe(name, clip, lane="batch")
    assert app.op("error", id="too-many")["error"]["code"] == "queue_full"
    here = len(app.lines)
    app.send({"op": "status"})
    status = app.wait_for(lambda line: line["op"] == "status", after=here)
    assert (status["waiting"], status["running"]["batch"]) == ({"interactive": 0, "batch": 3}, 2)
    app.send({"op": "cancel", "id": "waits-2"})
    result = app.result("waits-2")
    assert (result["status"], result["attempts"]) == ("canceled", [])
    assert "started" not in app.events("waits-2")
    gate.touch()
    assert {app.result(name)["status"] for name in ("busy-1", "busy-2", "waits-1", "waits-3")} == {"completed"}


def test_what_is_wrong_is_answered(app: App, clip: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    app.transcribe("taken", clip, prompt=f"until:{gate}")
    app.started("taken")
    before = len(app.lines)
    app.transcribe("taken", clip)
    assert app.op("error", id="taken")["error"]["code"] == "job_conflict"
    app.transcribe("klingon", clip, language="tlh")
    assert app.op("error", id="klingon")["error"]["code"] == "unknown_language"
    app.transcribe("misspelt", clip, langauge="en")
    assert "language" in app.op("error", id="misspelt")["error"]["hint"]
    app.send({"op": "cancel", "id": "nobody"})
    assert app.op("error", id="nobody")["error"]["code"] == "job_not_found"
    for text in ("garbage", "", "[1]", "{}", '{"op":"dance"}', b"\xff\xfe", '{"op":"ping","loud":true}', "[" * 100_000):
        here = len(app.lines)
        app.send_text(text)
        answer = app.wait_for(lambda line: line["op"] == "error", after=here)
        assert answer["error"]["code"] == "invalid_request"
        assert "id" not in answer
    here = len(app.lines)
    app.send_text("x" * 3_000_000)
    assert "longer than" in app.wait_for(lambda line: line["op"] == "error", after=here)["error"]["message"]
    gate.touch()
    assert app.result("taken")["status"] == "completed"
    numbers = [line["line"] for line in app.lines[before:] if line["op"] == "error"]
    assert len(numbers) == 13
    assert numbers == sorted(set(numbers))


def test_a_lane_without_slots(start: Start, clip: Path) -> None:
    app = start("--lanes", "batch:1")
    app.transcribe("quick", clip)
    assert app.op("error", id="quick")["error"]["code"] == "not_served"


def test_bad_audio(app: App, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is not audio", encoding="utf-8")
    for job_id, path, code in (
        ("missing", tmp_path / "missing.wav", "audio_not_found"),
        ("text", tmp_path / "text.wav", "audio_unreadable"),
        ("relative", "clip.wav", "path_not_allowed"),
    ):
        app.transcribe(job_id, path)
        result = app.result(job_id)
        assert (result["status"], result["error"]["code"], result["error"]["retryable"]) == ("failed", code, False)


def test_noise_on_standard_output(app: App, clip: Path) -> None:
    app.transcribe("noisy", clip, prompt='print:{"op":"result"}')
    assert app.result("noisy")["status"] == "completed"
    assert '{"op":"result"}' in app.log  # and nothing but JSON lines came, or `App` had stopped reading


def test_the_engine_dies(app: App, clip: Path, tmp_path: Path) -> None:
    app.transcribe("fatal", clip, prompt=f"crash-once:{tmp_path / 'crashed'}")
    assert app.result("fatal")["status"] == "completed"
    here = len(app.lines)
    app.send({"op": "status"})
    status = app.wait_for(lambda line: line["op"] == "status", after=here)
    assert (status["state"], status["restarts"], status["error"]) == ("ready", 1, None)
    assert status["memory_mb"] > 0


def test_attempts(app: App, clip: Path) -> None:
    app.transcribe("stubborn", clip, prompt="fail", retries=1)
    result = app.result("stubborn")
    assert (result["status"], result["error"]["code"]) == ("failed", "inference_failed")
    assert [attempt["error"]["code"] for attempt in result["attempts"]] == ["inference_failed"] * 2
    assert [told for told in app.events("stubborn") if told != "progress"] == [
        "queued", "started", "retrying", "started",
    ]  # fmt: skip


def upload(app: App, content: bytes, *, piece: int = 700_000) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    for offset in range(0, len(content), piece):
        data = base64.b64encode(content[offset : offset + piece]).decode()
        app.send({"op": "blob", "sha256": sha256, "offset": offset, "base64": data})
    return sha256


def test_audio_as_bytes(app: App, clip: Path) -> None:
    content = clip.read_bytes()
    sha256 = upload(app, content, piece=50_000)
    blob = {"kind": "blob", "sha256": sha256, "bytes": len(content), "name": "dictation.flac"}
    Request.build(id="by-bytes", audio=blob)  # the same document that a queue takes
    app.transcribe("by-path", clip)
    app.transcribe("by-bytes", "", audio=blob)
    result = app.result("by-bytes")
    assert result["text"] == app.result("by-path")["text"]
    assert (result["audio"]["name"], result["audio"]["sha256"]) == ("dictation.flac", sha256)
    app.transcribe("used-up", "", audio=blob)
    assert app.op("error", id="used-up")["error"]["code"] == "blob_missing"


@pytest.mark.parametrize("op", ["ping", "status"])
def test_answers_come_while_it_works(app: App, clip: Path, tmp_path: Path, op: str) -> None:
    gate = tmp_path / "gate"
    app.transcribe(f"during-{op}", clip, prompt=f"until:{gate}")
    app.started(f"during-{op}")
    here = len(app.lines)
    app.send({"op": op})
    app.wait_for(lambda line: line["op"] in {"pong", "status"}, 1, after=here)
    gate.touch()
    assert app.result(f"during-{op}")["status"] == "completed"
