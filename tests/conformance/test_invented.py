"""What Whisper likes to invent where nobody speaks, on real recordings through the whole pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.hearing import words

from asrq_jobs.settings import Settings
from asrq_worker.programs.one_shot import transcribe

soundfile = pytest.importorskip("soundfile")


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


def test_a_recording_that_is_cut_off_gets_no_farewell(speech: Path, tmp_path: Path) -> None:
    """Depending on the processor, this one ended in "I'll be right back." or "I'll see you in the next video."."""
    samples, rate = soundfile.read(speech / "long" / "en-lj001.mp3", dtype="float32")
    soundfile.write(tmp_path / "cut.wav", samples[: 75 * rate], rate)
    lines = (speech / "manifest.jsonl").read_text("utf-8").splitlines()
    said = set(words(next(json.loads(line)["text"] for line in lines if "long/en-lj001.mp3" in line)))
    for word_timestamps in (False, True):
        settings = Settings(model="base")
        (result,) = transcribe(settings, [tmp_path / "cut.wav"], language="en", word_timestamps=word_timestamps)
        assert result.text is not None
        assert len(set(words(result.text)[-8:]) - said) <= 2, result.text[-80:]
        assert result.segments is not None
        assert all(segment.end <= 75.0 for segment in result.segments)


def test_what_is_said_eight_times_is_written_eight_times(speech: Path, tmp_path: Path) -> None:
    sentence, rate = soundfile.read(speech / "en" / "harvard_spk1_snt6.flac", dtype="float32")
    pause = np.zeros(round(0.4 * rate), np.float32)
    soundfile.write(tmp_path / "eight.wav", np.tile(np.concatenate([sentence, pause]), 8), rate)
    (result,) = transcribe(Settings(model="base"), [tmp_path / "eight.wav"], language="en")
    assert result.text is not None
    assert words(result.text) == words("The pencils have all been used.") * 8
    assert result.warnings == ("split_at_repetition",)
