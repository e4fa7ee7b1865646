"""What Whisper likes to invent where nobody speaks, and to leave out, on real recordings through the whole pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from support.hearing import words

from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.job.transcriber import Transcriber
from asrq_worker.programs import one_shot

soundfile = pytest.importorskip("soundfile")

pytestmark = pytest.mark.timeout(1800)  # for what hangs: a busy machine is slow

Transcribe = Callable[..., Iterator[Result]]


@pytest.fixture(scope="module")
def transcribe() -> Iterator[Transcribe]:
    """`one_shot.transcribe` with `base`, whose processes start once for all."""
    settings = Settings(model="base")
    with Transcriber(settings) as kept, patch.object(one_shot, "Transcriber", lambda _settings: nullcontext(kept)):
        yield partial(one_shot.transcribe, settings)


def test_the_rest_of_a_chunk_gets_no_subtitle_credits(speech: Path, transcribe: Transcribe) -> None:
    """The last 0.14 s of this clip, on their own, were heard as the credits of a subtitle editor."""
    (result,) = transcribe([speech / "ru" / "nsh_ru_0618.flac"], language="ru")
    assert result.text is not None
    assert result.text.endswith("на севере горизонта.")
    assert result.warnings == ()


def test_silence_noise_and_room_tone_get_no_text(speech: Path, transcribe: Transcribe) -> None:
    files = [speech / "bad" / f"pub-{name}" for name in ("silence-10s.wav", "white-noise-5s.wav", "roomtone-10s.flac")]
    for result in transcribe(files):
        assert (result.status, result.text, result.warnings) == ("completed", "", ("no_speech",)), result


@pytest.fixture(scope="module")
def cut(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last chunk of the first 75 s of a recording, which breaks off in a word."""
    samples, rate = soundfile.read(speech / "long" / "en-lj001.mp3", dtype="float32")
    path = tmp_path_factory.mktemp("cut") / "cut.wav"
    soundfile.write(path, samples[round(54.6 * rate) : 75 * rate], rate)
    return path


@pytest.fixture(scope="module")
def eight(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence that is said eight times."""
    sentence, rate = soundfile.read(speech / "en" / "harvard_spk1_snt6.flac", dtype="float32")
    pause = np.zeros(round(0.4 * rate), np.float32)
    path = tmp_path_factory.mktemp("eight") / "eight.wav"
    soundfile.write(path, np.tile(np.concatenate([sentence, pause]), 8), rate)
    return path


@pytest.fixture(scope="module")
def joined(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings without a pause between them."""
    path = tmp_path_factory.mktemp("joined") / "joined.wav"
    found = [
        soundfile.read(speech / "en" / f"{name}.flac", dtype="float32") for name in ("lj001-0004", "jfk", "lj001-0011")
    ]
    assert {rate for _, rate in found} == {16_000}
    soundfile.write(path, np.concatenate([samples for samples, _ in found]), 16_000)
    return path


def test_a_recording_that_is_cut_off_gets_no_farewell(speech: Path, transcribe: Transcribe, cut: Path) -> None:
    """Depending on the processor, this one ended in "I'll be right back." or "I'll see you in the next video."."""
    lines = (speech / "manifest.jsonl").read_text("utf-8").splitlines()
    said = set(words(next(json.loads(line)["text"] for line in lines if "long/en-lj001.mp3" in line)))
    for word_timestamps in (False, True):
        (result,) = transcribe([cut], language="en", word_timestamps=word_timestamps)
        assert result.text is not None
        assert len(words(result.text)) > 30
        assert len(set(words(result.text)[-8:]) - said) <= 2, result.text[-80:]
        assert result.segments is not None
        assert all(segment.end <= 75.0 - 54.6 for segment in result.segments)


def test_what_is_said_eight_times_is_written_eight_times(transcribe: Transcribe, eight: Path) -> None:
    (result,) = transcribe([eight], language="en")
    assert result.text is not None
    assert words(result.text) == words("The pencils have all been used.") * 8
    assert result.warnings == ("split_at_repetition",)


def test_a_recording_between_two_others_is_not_left_out(transcribe: Transcribe, joined: Path) -> None:
    """Whisper wrote the first and the last, and nothing of the 11 s between them."""
    (result,) = transcribe([joined], language="en")
    assert result.text is not None
    assert {"block", "fellow", "americans", "country", "importance"} <= set(words(result.text))
    assert result.warnings == ()


def test_the_first_word_after_20_s_of_silence_is_written(speech: Path, transcribe: Transcribe) -> None:
    (result,) = transcribe([speech / "bad" / "pub-en-20s-silence-first.flac"], language="en")
    assert result.text is not None
    assert words(result.text)[:3] == ["the", "forms", "of"]
    assert result.segments is not None
    assert 19.5 <= result.segments[0].start <= 20.1
