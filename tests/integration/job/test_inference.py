"""A job on an engine whose memory is short: cut again, told, checkpointed, merged in its place."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from integration.job.journals import DELIVER, Notes

from asrq_jobs.atoms import joined
from asrq_jobs.errors import EngineUnavailableError, OutOfMemoryError
from asrq_jobs.request import PathAudio, Request
from asrq_worker.audio.sound import Channel, DecodedAudio
from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, ChunkOptions, Transcript
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.fleet import Fleet, Member
from asrq_worker.http.deltas import Deltas
from asrq_worker.job import checkpoints, inference
from asrq_worker.job.control import JobControl
from asrq_worker.job.hearing import Hearing, InferenceJob
from asrq_worker.job.progress import Progress
from asrq_worker.job.transcription import Transcription

SPANS = [(0.5, 9.0), (9.4, 19.0), (19.6, 26.0), (40.0, 44.0)]  # seconds; the silence at 26 s separates two chunks


@pytest.fixture
def decoded(tmp_path: Path) -> DecodedAudio:
    samples = 45 * SAMPLE_RATE
    np.random.default_rng(1).normal(scale=0.1, size=samples).astype("<f4").tofile(tmp_path / "a.f32")
    spans = tuple((round(start * SAMPLE_RATE), round(stop * SAMPLE_RATE)) for start, stop in SPANS)
    return DecodedAudio(tmp_path / "a.f32", samples, spans, "wav", "pcm", SAMPLE_RATE, 1, ())


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    fleet = Fleet(lambda name: Engine(name, BackendConfig("fake", tmp_path, options={"max_batch": 4})))
    yield fleet.enlist("fake")
    fleet.close()


def hear(
    member: Member, decoded: DecodedAudio, notes: Notes, prompt: str | None = None, *, stand_in: bool = False
) -> Transcription:
    request = Request.build(id="job", audio=PathAudio(path="/a.wav"), language="en", prompt=prompt, deliver=DELIVER)
    job, loaded = InferenceJob(request, JobControl(), notes), member.engine.wait_ready(120)
    return inference.transcribe(job, decoded, member, loaded, chunk_s=28.0, stand_in=stand_in)


def places(heard: Transcription) -> list[tuple[float, float]]:
    return [(chunk.start, chunk.end) for chunk in heard.chunks]


def assert_each_sample_once(covered: list[tuple[float, float]]) -> None:
    for start, stop in SPANS:
        within = [(max(a, start), min(b, stop)) for a, b in covered if a < stop and b > start]
        assert sum(b - a for a, b in within) == pytest.approx(stop - start)
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(within))


def test_a_chunk_that_does_not_fit_is_cut_at_its_pauses(member: Member, decoded: DecodedAudio) -> None:
    notes = Notes()
    heard = hear(member, decoded, notes, "oom-over:20")
    assert places(heard) == [(0.5, 9.0), (9.4, 26.0), (40.0, 44.0)]
    assert [chunk.transcript.segments[0].end for chunk in heard.chunks] == pytest.approx([8.5, 16.6, 4.0])
    assert len({chunk.transcript.text for chunk in heard.chunks}) == 3
    assert "chunk_split" in heard.warnings
    assert len(heard.work) == len(notes.saved) == 3
    assert notes.together == [("chunk", "progress")] * 3, "one call of the queue for each chunk"
    steps = [event for event in notes.events if event.step]
    assert [(e.type, e.stage, e.step, e.start, e.end) for e in steps[-1:]] == [
        ("progress", "inference", "chunk_split", 0.5, 26.0)
    ]
    last = [event for event in notes.events if event.fraction is not None][-1]
    assert last.fraction == pytest.approx(1.0)
    assert last.audio_s == pytest.approx(29.1, abs=0.01)


def test_each_chunk_says_until_when_all_has_been_told(member: Member, decoded: DecodedAudio) -> None:
    notes = Notes()
    heard = hear(member, decoded, notes, "oom-over:20")  # what is cut is done last
    told = [event for event in notes.events if event.type == "chunk"]
    deltas, text = Deltas(), joined(chunk.transcript.text for chunk in heard.chunks)
    for number, event in enumerate(told, start=1):
        left = {start for start, _ in places(heard)} - {each.start for each in told[:number]}
        assert event.until == pytest.approx(min(left, default=44.0))
        deltas.after(event)
    assert deltas.text == text


def test_the_next_attempt_does_none_of_the_parts_again(member: Member, decoded: DecodedAudio) -> None:
    notes = Notes()
    first = hear(member, decoded, notes, "oom-over:20")
    again = hear(member, decoded, Notes(notes.saved), "oom-over:20")
    assert again.chunks == first.chunks
    assert again.work == ()


def test_a_repetition_that_was_heard_in_parts_is_the_speakers(member: Member, decoded: DecodedAudio) -> None:
    notes = Notes()
    hear(member, decoded, notes)
    loop = Transcript("The ship sails at noon. " * 5, "en")

    def told(*warnings: str) -> tuple[str, ...]:
        return hear(member, decoded, Notes(dict.fromkeys(notes.saved, replace(loop, warnings=warnings)))).warnings

    assert "repetition" in told()
    assert "repetition" not in told("split_at_repetition")


@pytest.mark.parametrize("fits_s", [20, 10])
def test_parts_that_are_done_stay_done_where_there_is_more_memory(
    member: Member, decoded: DecodedAudio, fits_s: int
) -> None:
    """A worker dies between the parts, or parts of parts; the next one has room for the whole, and hears the rest."""
    parts, loaded = Notes(), member.engine.wait_ready(120)
    hear(member, decoded, parts, f"oom-over:{fits_s}")
    for key, transcript in parts.saved.items():
        start, stop = map(int, key.split("-")[:2])
        samples = decoded.read(start, stop)
        without = checkpoints.name(Piece(start, stop), samples, ChunkOptions("en"), loaded.fingerprint)
        resumed = hear(member, decoded, Notes({without: transcript}))
        assert (start / SAMPLE_RATE, stop / SAMPLE_RATE) in places(resumed)
        assert len(resumed.work) == len(resumed.chunks) - 1
        assert_each_sample_once(places(resumed))


def test_the_last_piece_is_left_for_the_end_where_that_follows_at_once(member: Member, decoded: DecodedAudio) -> None:
    kept, notes = Notes(), Notes()
    hear(member, decoded, kept)
    request = Request.build(id="job", audio=PathAudio(path="/a.wav"), language="en")
    loaded = member.engine.wait_ready(120)
    inference.transcribe(InferenceJob(request, JobControl(), notes), decoded, member, loaded, chunk_s=28.0)
    assert notes.together == kept.together == [("chunk", "progress")] * 2
    assert len(notes.saved) == 1 < len(kept.saved)
    assert notes.saved.items() < kept.saved.items()


def test_nothing_of_another_recording_is_reused(member: Member, decoded: DecodedAudio) -> None:
    """The file at the path was replaced between two attempts: same length, same pauses, other words at the end."""
    notes = Notes()
    before = hear(member, decoded, notes)
    samples = np.fromfile(decoded.path, "<f4")
    samples[35 * SAMPLE_RATE :] *= -1
    samples.tofile(decoded.path)
    after = hear(member, decoded, Notes(notes.saved))
    assert places(after) == places(before)
    assert [one == other for one, other in zip(before.chunks, after.chunks, strict=True)] == [True, False]
    assert len(after.work) == 1, "what is the same as before is not heard again"
    assert after.chunks == hear(member, decoded, Notes()).chunks


def test_what_is_too_long_for_a_part_is_cut_once_more(member: Member, decoded: DecodedAudio) -> None:
    heard = hear(member, decoded, Notes(), "oom-over:10")
    covered = places(heard)
    assert all(end - start <= 10.0 for start, end in covered)
    assert_each_sample_once(covered)


def test_chunks_do_not_wait_for_an_engine_that_does_not_come_back_where_another_stands_in(
    decoded: DecodedAudio, tmp_path: Path
) -> None:
    """It loads once; from then on each start crashes, as the file that kept it from crashing is gone."""
    loads = tmp_path / "loads"
    loads.touch()
    fleet = Fleet(lambda name: Engine(name, BackendConfig(f"crash-unless:{loads}", tmp_path)))
    try:
        member = fleet.enlist("fake")
        member.engine.wait_ready(120)
        loads.unlink()
        started = time.monotonic()
        with pytest.raises(EngineUnavailableError):
            hear(member, decoded, Notes(), "crash", stand_in=True)
        assert time.monotonic() - started < 60, "without one they would wait two minutes"
        assert not member.engine.final
    finally:
        fleet.close()


def test_an_engine_that_neither_works_nor_ends_is_not_waited_for(
    member: Member, decoded: DecodedAudio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(inference, "_HUNG", 3)
    monkeypatch.setattr(member.engine, "within_limits", lambda: False)  # as a driver that hangs makes it
    with pytest.raises(EngineUnavailableError, match="hangs"):
        hear(member, decoded, Notes(), f"until:{tmp_path / 'never'}")


def test_what_fits_in_no_way_fails_with_the_code(member: Member, decoded: DecodedAudio) -> None:
    notes = Notes()
    with pytest.raises(OutOfMemoryError):
        hear(member, decoded, notes, "oom")
    told = {event.step for event in notes.events if event.step}  # the last may be of another chunk of the batch
    assert {"chunk_split", "engine_restarted", "given_up"} <= told
    assert hear(member, decoded, Notes()).chunks, "the engine serves the next job"


@pytest.mark.parametrize("prompt", [None, "oom-over:12"])
def test_what_was_heard_early_and_is_no_piece_after_all_is_not_heard_twice(
    member: Member, decoded: DecodedAudio, prompt: str | None
) -> None:
    """Where the level of a recording changes, its speech is found anew: one piece may hold another, or overlap it."""
    request = Request.build(id="job", audio=PathAudio(path="/a.wav"), language="en", prompt=prompt)
    options = ChunkOptions(language="en", prompt=prompt)
    job, loaded = InferenceJob(request, JobControl(), Notes()), member.engine.wait_ready(120)
    hearing = Hearing(job, decoded, member, loaded, options, flow="flow", progress=Progress())
    places = [(0.5, 9.0), (0.5, 19.0), (19.6, 26.0)]
    first, whole, rest = (Piece(round(start * SAMPLE_RATE), round(stop * SAMPLE_RATE)) for start, stop in places)
    hearing.begin_early([first, whole])
    inference._hear_out([hearing], job, member, stand_in=False)
    hearing.begin_early([first, whole, Piece(whole.start, rest.stop)])
    hearing.begin([whole, rest])
    inference._hear_out([hearing], job, member, stand_in=False)
    covered = sorted((piece.start, piece.stop) for piece in hearing.done)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(covered))
    assert (covered[0][0], covered[-1][1]) == (whole.start, rest.stop)
    assert (covered == [(whole.start, whole.stop), (rest.start, rest.stop)]) == (prompt is None)


def test_channels_are_heard_together_and_told_apart(member: Member, decoded: DecodedAudio, tmp_path: Path) -> None:
    loud = decoded.read(0, decoded.samples) * 2
    loud.tofile(tmp_path / "b.f32")
    late = tuple((start + SAMPLE_RATE, stop + SAMPLE_RATE) for start, stop in decoded.spans[:3])
    files = (decoded.path, tmp_path / "b.f32")
    sides = (Channel(files[0], len(loud), decoded.spans, 1), Channel(files[1], len(loud), late, 2))
    call = replace(decoded, apart=sides, files=files)
    notes = Notes()
    heard = hear(member, call, notes)
    assert [(chunk.channel, chunk.start, chunk.end) for chunk in heard.chunks] == [
        (1, 0.5, 26.0),
        (2, 1.5, 27.0),
        (1, 40.0, 44.0),
    ]
    assert len({chunk.transcript.text for chunk in heard.chunks}) == 3
    alone = [hear(member, replace(decoded, path=side.path, spans=side.spans), Notes()) for side in sides]
    for number, channel in enumerate(alone, 1):
        assert [each.transcript for each in channel.chunks] == [
            each.transcript for each in heard.chunks if each.channel == number
        ]
    chunks = [event for event in notes.events if event.type == "chunk"]
    assert sorted((event.start, event.channel) for event in chunks) == [(0.5, 1), (1.5, 2), (40.0, 1)]
    for told, later in itertools.combinations(chunks, 2):
        assert (told.until or 0) <= (later.start or 0), "of both channels"
    fractions = [event.fraction for event in notes.events if event.fraction is not None]
    assert (fractions, fractions[-1]) == (sorted(fractions), 1.0)
    assert fractions == sorted(fractions)
    again = hear(member, call, Notes(notes.saved))
    assert (again.chunks, again.work) == (heard.chunks, ())
    swapped = replace(call, apart=(replace(sides[0], path=files[1]), replace(sides[1], path=files[0])))
    assert len(hear(member, swapped, Notes(notes.saved)).work) == 3, "what is kept of a channel is no other's"
