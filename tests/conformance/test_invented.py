"""What Whisper likes to invent where nobody speaks, on real recordings through the whole pipeline."""

from __future__ import annotations

from pathlib import Path

from asrq_jobs.settings import Settings
from asrq_worker.one_shot import transcribe


def test_the_rest_of_a_chunk_gets_no_subtitle_credits(speech: Path) -> None:
    """The last 0.14 s of this clip, on their own, were heard as the credits of a subtitle editor."""
    (result,) = transcribe(Settings(model="base"), [speech / "ru" / "nsh_ru_0618.flac"], language="ru")
    assert result.text is not None
    assert result.text.endswith("на севере горизонта.")
    assert result.warnings == ()


def test_silence_noise_and_room_tone_get_no_text(speech: Path) -> None:
    files = [speech / "bad" / f"pub-{name}" for name in ("silence-10s.wav", "white-noise-5s.wav", "roomtone-10s.flac")]
    for result in transcribe(Settings(model="base"), files):
        assert (result.status, result.text, result.warnings) == ("completed", "", ("no_speech",)), result
