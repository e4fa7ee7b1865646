"""A bridge with a real model and real speech."""

from __future__ import annotations

from pathlib import Path

from support.needs import missing

from asrq_worker.backends.whisper import models

from .conftest import Start


def test_speech(start: Start, clip: Path) -> None:
    if not any(model.name == "tiny.en" and model.ready for model in models.available(Path())):
        missing("the model tiny.en (the extra demo)")
    app = start("--exit-with-parent", backend="whisper", model="tiny.en")
    app.transcribe("dictated", clip, language="en", word_timestamps=True)
    result = app.result("dictated")
    assert "open the window" in result["text"].lower()
    assert [word["word"].strip().lower() for word in result["words"]][:2] == ["good", "morning,"]
    ready = app.op("ready")
    assert (ready["backend"], ready["model"], ready["capabilities"]["languages"]) == ("whisper", "tiny.en", ["en"])
    app.transcribe("foreign", clip, language="ru")
    assert app.result("foreign")["error"]["code"] == "unsupported_option"
    app.transcribe("unsaid", clip)
    assert app.result("unsaid")["error"]["code"] == "unsupported_option"
    app.close()
    assert app.wait_ended() == 0


def test_the_fallback_serves(start: Start, clip: Path) -> None:
    if not any(model.name == "tiny.en" and model.ready for model in models.available(Path())):
        missing("the model tiny.en (the extra demo)")
    app = start(model="missing", fallback="whisper", whisper_model="tiny.en")
    app.transcribe("dictated", clip, language="en")
    result = app.result("dictated")
    assert "open the window" in result["text"].lower()
    assert (result["backend"], result["fallback_from"]) == ("whisper", "fake")
    assert app.op("ready")["backend"] == "whisper"
