"""An application that hands sound over while its user speaks, and what must not be able to break it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.speaking import file_of, frames, spoken

from .app import App, Line
from .conftest import Start

SOUND = spoken("hello-en", "hello-ru", "hello-en")
"""Three sentences: the pauses make three chunks of them."""
LIVE = {"kind": "live", "encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}


def begin(app: App, job_id: str, *, audio: Line | None = None, **fields: object) -> None:
    request = {"id": job_id, "lane": "interactive", "language": "en", "audio": LIVE | (audio or {}), **fields}
    app.send({"op": "transcribe", "request": request})


def say(app: App, job_id: str, sound: bytes = SOUND, *, first: int = 1) -> int:
    """Send it in frames from this number on; returns the number that follows."""
    number = first
    for frame in frames(sound, 0.5):
        app.send({"op": "audio", "id": job_id, "seq": number, "base64": base64.b64encode(frame).decode()})
        number += 1
    return number


def chunks(app: App, job_id: str) -> list[Line]:
    told = [line["event"] for line in app.lines if line["op"] == "event" and line["id"] == job_id]
    return [event for event in told if event["type"] == "chunk"]


def a_chunk(app: App, job_id: str) -> Line:
    """Wait for text."""
    found: Line = app.wait_for(lambda line: line.get("id") == job_id and line.get("event", {}).get("type") == "chunk")
    return found["event"]


def refused(app: App, job_id: str, after: int) -> tuple[str, str | None]:
    """Return code and hint of the next refusal of a line about a job."""
    line = app.wait_for(lambda line: line["op"] == "error" and line["id"] == job_id, after=after)
    return line["error"]["code"], line["error"]["hint"]


@pytest.fixture(scope="module")
def as_file(app: App, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The result of the same sound as a file."""
    path = tmp_path_factory.mktemp("sound") / "sound.wav"
    path.write_bytes(file_of(SOUND))
    app.transcribe("as-file", path, language="en")
    yield app.result("as-file")
    path.unlink()


def test_text_comes_while_the_user_speaks_and_is_that_of_the_file(app: App, as_file: Line) -> None:
    begin(app, "spoken")
    say(app, "spoken")
    heard = a_chunk(app, "spoken")
    app.send({"op": "end", "id": "spoken"})
    app.send({"op": "end", "id": "spoken"})
    result = app.result("spoken")
    assert (result["status"], result["text"], result["segments"]) == ("completed", as_file["text"], as_file["segments"])
    assert heard["text"] in result["text"]
    assert len(chunks(app, "spoken")) == 3
    assert (result["audio"]["container"], result["audio"]["bytes"]) == ("live", len(SOUND))
    assert result["warnings"] == []


def test_frames_that_come_again_change_nothing(app: App, as_file: Line) -> None:
    begin(app, "twice")
    half = 16_000 * 10 * 2
    following = say(app, "twice", SOUND[:half])
    say(app, "twice", SOUND[:half])
    say(app, "twice", SOUND[half:], first=following)
    app.send({"op": "end", "id": "twice"})
    result = app.result("twice")
    assert (result["text"], result["audio"]["bytes"]) == (as_file["text"], len(SOUND))


def test_a_crash_of_the_engine_costs_no_word(app: App, as_file: Line, tmp_path: Path) -> None:
    begin(app, "crash", prompt=f"crash-once:{tmp_path / 'crashed'}")
    say(app, "crash")
    a_chunk(app, "crash")
    assert (tmp_path / "crashed").exists()
    app.send({"op": "end", "id": "crash"})
    assert app.result("crash")["text"] == as_file["text"]


def test_wrong_order_too_much_and_too_late_are_answered(app: App) -> None:
    begin(app, "wrong", audio={"max_s": 1})
    app.started("wrong")
    second, frame = b"\0\1" * 16_000, b"\0\1" * 800
    for seq, sound in (
        (2, frame),
        (1, b"odd"),
        (1, b""),
    ):
        here = len(app.lines)
        app.send({"op": "audio", "id": "wrong", "seq": seq, "base64": base64.b64encode(sound).decode()})
        assert refused(app, "wrong", here)[0] == "invalid_request"
    here = len(app.lines)
    assert say(app, "wrong", second + frame) == 4
    code, hint = refused(app, "wrong", here)
    assert code == "audio_too_long"
    assert hint
    app.send({"op": "end", "id": "wrong"})
    result = app.result("wrong")
    assert (result["status"], result["duration"]) == ("completed", 1.0)
    here = len(app.lines)
    say(app, "wrong", frame, first=3)
    code, hint = refused(app, "wrong", here)
    assert code == "job_not_found"
    assert hint


def test_a_job_of_another_kind_takes_no_frames(app: App, clip: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    app.transcribe("a-file", clip, prompt=f"until:{gate}")
    here = len(app.lines)
    say(app, "a-file", b"\0\1" * 800)
    assert refused(app, "a-file", here)[0] == "job_not_found"
    gate.touch()
    assert app.result("a-file")["status"] == "completed"


def test_cancel(app: App) -> None:
    begin(app, "given-up")
    following = say(app, "given-up")
    a_chunk(app, "given-up")
    app.send({"op": "cancel", "id": "given-up"})
    assert app.result("given-up")["status"] == "canceled"
    here = len(app.lines)
    say(app, "given-up", b"\0\1" * 800, first=following)
    assert refused(app, "given-up", here)[0] == "job_not_found"
    here = len(app.lines)
    begin(app, "given-up")  # the id is free, and nothing of the old sound is there
    app.send({"op": "end", "id": "given-up"})
    ended = app.wait_for(lambda line: line["op"] == "result" and line["result"]["status"] == "failed", after=here)
    assert ended["result"]["error"]["code"] == "audio_empty"


def test_who_says_nothing_more_has_what_was_said(start: Start, tmp_path: Path, as_file: Line) -> None:
    spool = tmp_path / "spool"
    app = start(live_idle_s=1, spool_dir=spool)
    app.op("ready")
    begin(app, "silent")
    say(app, "silent")
    result = app.result("silent")
    assert (result["text"], result["warnings"]) == (as_file["text"], ["live_interrupted"])
    assert not list(spool.rglob("*.pcm"))


def test_the_application_ends_in_the_middle(start: Start, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    app = start(spool_dir=spool)
    app.op("ready")
    begin(app, "cut")
    say(app, "cut")
    a_chunk(app, "cut")
    below = app.children()
    app.close()
    assert app.wait_ended(60) == 0
    assert psutil.wait_procs(below, timeout=60)[1] == []
    assert app.result("cut")["status"] == "canceled"
    assert not list(spool.rglob("*.pcm"))
