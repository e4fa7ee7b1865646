"""A job that leaves the language open: one for the recording, however its pieces come and whichever worker resumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from integration.job.journals import DELIVER, Notes

from asrq_jobs.request import PathAudio, Request
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, Transcript
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.fleet import Fleet, Member
from asrq_worker.job import inference
from asrq_worker.job.control import JobControl
from asrq_worker.job.hearing import InferenceJob
from asrq_worker.job.merge import merge
from asrq_worker.job.transcription import Transcription

QUIET, LOUD = 0.1, 0.9


@pytest.fixture(params=[1, 4], ids=["alone", "in batches"])
def member(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Member]:
    options = {"max_batch": request.param}
    fleet = Fleet(lambda name: Engine(name, BackendConfig("fake", tmp_path, parallel=2, options=options)))
    yield fleet.enlist("fake")
    fleet.close()


def recording(folder: Path, *stretches: tuple[float, float, float]) -> DecodedAudio:
    """Noise of so much amplitude from so many seconds to so many; a gap of 2 s parts two pieces."""
    length = round((stretches[-1][1] + 1) * SAMPLE_RATE)
    samples = np.zeros(length, "<f4")
    spans = tuple((round(start * SAMPLE_RATE), round(stop * SAMPLE_RATE)) for start, stop, _ in stretches)
    for (start, stop), (_, _, peak) in zip(spans, stretches, strict=True):
        samples[start:stop] = np.random.default_rng(start).uniform(-peak, peak, stop - start)
    samples.tofile(folder / "a.f32")
    return DecodedAudio(folder / "a.f32", length, spans, "wav", "pcm", SAMPLE_RATE, 1, ())


def hear(
    member: Member,
    decoded: DecodedAudio,
    notes: Notes,
    prompt: str,
    language: str = "auto",
    languages: tuple[str, ...] = (),
) -> Transcription:
    request = Request.build(
        id="job", audio=PathAudio(path="/a.wav"), language=language, languages=languages, prompt=prompt, deliver=DELIVER
    )
    loaded = member.engine.wait_ready(120)
    return inference.transcribe(InferenceJob(request, JobControl(), notes), decoded, member, loaded, chunk_s=28.0)


def spoken(heard: Transcription) -> list[tuple[float, str | None]]:
    return [(chunk.start, chunk.transcript.language) for chunk in heard.chunks]


def test_a_short_guess_is_heard_again_in_the_language_of_the_recording(member: Member, tmp_path: Path) -> None:
    decoded = recording(tmp_path, (0, 12, QUIET), (15, 17, LOUD), (20, 32, QUIET))
    notes = Notes()
    heard = hear(member, decoded, notes, "hears:ru:0.9")
    assert spoken(heard) == [(0, "en"), (15, "en"), (20, "en")]
    again = heard.chunks[1].transcript
    assert again.text.endswith(" en"), "it was heard again, and told so"
    assert again.language_probability == pytest.approx(0.1)
    assert len(heard.work) == 4
    assert heard.warnings == ()
    told = [(event.start, event.text) for event in notes.events if event.type == "chunk"]
    assert told[-1] == (15, again.text)
    assert len(told) == 4
    fractions = [event.fraction for event in notes.events if event.fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_what_is_no_speech_in_that_language_has_none(member: Member, tmp_path: Path) -> None:
    decoded = recording(tmp_path, (0, 12, QUIET), (15, 17, LOUD))
    heard = hear(member, decoded, Notes(), "hears:ru:0.9 deaf:en")
    assert heard.chunks[1].transcript == Transcript("", None)


def test_a_real_change_of_language_is_told(member: Member, tmp_path: Path) -> None:
    decoded = recording(tmp_path, (0, 5, QUIET), (6, 12, QUIET), (15, 27, LOUD), (30, 42, QUIET))
    heard = hear(member, decoded, Notes(), "hears:ru:0.98")
    assert spoken(heard) == [(0, "en"), (15, "ru"), (30, "en")]
    assert len(heard.work) == 3 + 2, "only what has pauses is looked at closer, in case that it holds some of the other"
    merged = merge(heard.chunks, word_timestamps=False)
    assert [segment.language for segment in merged.segments] == ["en", "ru", "en"]
    assert merged.language == "en"


def test_a_recording_in_one_language_is_heard_once(member: Member, tmp_path: Path) -> None:
    decoded = recording(tmp_path, (0, 1.5, LOUD), (4, 5.5, LOUD), (8, 30, LOUD))
    heard = hear(member, decoded, Notes(), "hears:ru:0.9")
    assert spoken(heard) == [(0, "ru"), (4, "ru"), (8, "ru")]
    assert len(heard.work) == 3


def test_a_language_that_was_asked_for_is_not_discussed(member: Member, tmp_path: Path) -> None:
    decoded = recording(tmp_path, (0, 12, QUIET), (15, 27, LOUD))
    heard = hear(member, decoded, Notes(), "hears:ru:0.9", language="de")
    assert spoken(heard) == [(0, "de"), (15, "de")]
    assert len(heard.work) == 2


def test_no_language_is_found_but_those_to_choose_among(member: Member, tmp_path: Path) -> None:
    decoded = recording(tmp_path, (0, 12, QUIET), (15, 27, LOUD))
    assert spoken(hear(member, decoded, Notes(), "hears:uk:0.98", languages=("ru", "en"))) == [(0, "en"), (15, "en")]
    assert spoken(hear(member, decoded, Notes(), "hears:uk:0.98", languages=("ru", "de"))) == [(0, "ru"), (15, "ru")]
    assert spoken(hear(member, decoded, Notes(), "hears:uk:0.98", languages=("en", "uk"))) == [(0, "en"), (15, "uk")]


def test_a_piece_with_two_languages_is_cut_between_them(member: Member, tmp_path: Path) -> None:
    decoded = recording(tmp_path, (0, 8, QUIET), (9, 10, QUIET), (11, 21, LOUD))
    notes = Notes()
    heard = hear(member, decoded, notes, "hears:ru:0.9")
    assert [(chunk.start, chunk.end, chunk.transcript.language) for chunk in heard.chunks] == [
        (0, 10, "en"),
        (11, 21, "ru"),
    ]
    told = [(event.start, event.end) for event in notes.events if event.type == "chunk"]
    assert told == [(0, 21), (0, 10)], "what was heard only to find the language is nobody's business"
    fractions = [event.fraction for event in notes.events if event.fraction is not None]
    assert fractions == sorted(fractions)
    assert [fraction for fraction in fractions if fraction == 1.0] == fractions[-1:], "it is done when all is heard"


def test_what_is_unsure_is_said(member: Member, tmp_path: Path) -> None:
    decoded = recording(tmp_path, (0, 2, LOUD))
    assert hear(member, decoded, Notes(), "hears:ru:0.5").warnings == ()
    decoded = recording(tmp_path, (0, 20, QUIET), (23, 26.9, LOUD))
    heard = hear(member, decoded, Notes(), "hears:ru:0.98")
    assert spoken(heard) == [(0, "en"), (23, "en")]
    assert "language_unsure" in heard.warnings


@pytest.mark.parametrize("kept", range(6))
def test_resumed_it_comes_to_the_same(member: Member, tmp_path: Path, kept: int) -> None:
    """An attempt that ended after any of its pieces."""
    decoded = recording(
        tmp_path, (0, 12, QUIET), (15, 17, LOUD), (20, 28, QUIET), (29, 30, QUIET), (31, 41, LOUD), (44, 56, LOUD)
    )
    notes = Notes()
    first = hear(member, decoded, notes, "hears:ru:0.9")
    finished = dict(list(notes.saved.items())[:kept])
    assert len(notes.saved) > kept
    again = hear(member, decoded, Notes(finished), "hears:ru:0.9")
    assert again.chunks == first.chunks
    assert again.warnings == first.warnings
    assert len(again.work) == len(first.work) - kept
    assert hear(member, decoded, Notes(notes.saved), "hears:ru:0.9").work == ()
