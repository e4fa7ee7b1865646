"""Recordings that come faster than they are spoken, or step by step, with real decoders and a fake engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from integration.job.journals import Notes
from support.speaking import RATE, spoken

from asrq_jobs.errors import CanceledError
from asrq_jobs.request import LiveAudio, Request
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.live import Arrived, Feed, Recordings
from asrq_worker.audio.split import Piece, split
from asrq_worker.backends.base import BackendConfig
from asrq_worker.engine.chunks import ChunkDone, ChunkTask
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.fleet import Fleet
from asrq_worker.engine.scheduler import Scheduler
from asrq_worker.job import inference
from asrq_worker.job.control import JobControl
from asrq_worker.job.hearing import InferenceJob
from asrq_worker.job.transcription import Transcription
from asrq_worker.storage.spool import Spool

_READ = 30 * RATE * 2


Heard = tuple[Transcription, Notes, list[Piece]]
Hear = Callable[..., Heard]


class Tape:
    """A feed that has half a minute more at each look."""

    def __init__(self, sound: bytes, times: int) -> None:
        self._sound = sound
        self._left = times * len(sound)

    def read(self, wait_s: float) -> Arrived:
        del wait_s
        count, self._left = min(_READ, self._left), max(0, self._left - _READ)
        at = -(self._left + count) % len(self._sound)
        rolled = (self._sound[at:] + self._sound * (_READ // len(self._sound) + 2))[:count]
        return Arrived(rolled, end=None if self._left else "end")

    def interrupt(self, silent_s: float) -> None:
        raise AssertionError("there is always more")


class Steps:
    """A feed that has a part of a sound at each look, and waits before each for what is there to be done."""

    def __init__(self, *steps: tuple[Callable[[], bool], bytes]) -> None:
        self._steps = list(steps)

    def read(self, wait_s: float) -> Arrived:
        if not self._steps[0][0]():
            time.sleep(min(wait_s, 0.02))
            return Arrived()
        _, sound = self._steps.pop(0)
        return Arrived(sound, end=None if self._steps else "end")

    def interrupt(self, silent_s: float) -> None:
        raise AssertionError("it comes")


@pytest.fixture
def hear(tmp_path: Path) -> Iterator[Hear]:
    """Hear what a feed has, and return what came of it, and what was told; `before` it gets the scheduler."""
    decoders = DecoderPool(1, memory_mb=4096, stall_s=60, max_s=5 * 3600)
    decoders.start()
    fleet = Fleet(lambda name: Engine(name, BackendConfig("fake", tmp_path)))
    spool = Spool(tmp_path)

    def heard(feed: Feed, before: Callable[[Scheduler, Notes], None] = lambda _scheduler, _notes: None) -> Heard:
        audio = LiveAudio(kind="live", encoding="pcm_s16le", sample_rate=RATE, channels=1)
        request = Request.build(id="job", audio=audio, language="en", prompt="words", lane="interactive")
        notes, control = Notes(), JobControl()
        member = fleet.enlist("fake")
        loaded = member.engine.wait_ready(60)
        before(member.scheduler, notes)
        recordings = Recordings(lambda _job: feed, spool, decoders, idle_s=60)
        with recordings.open("job", audio, control.check, lambda _recording: None) as recording:
            found = inference.transcribe(InferenceJob(request, control, notes), recording, member, loaded, chunk_s=28)
            return found, notes, split(recording.spans, longest_s=28, read=recording.read)

    yield heard
    fleet.close()
    decoders.close()
    spool.close()


def noted(scheduler: Scheduler, submitted: list[ChunkTask]) -> None:
    """Have a scheduler note what is submitted."""
    submit = scheduler.submit

    def submits(tasks: Sequence[ChunkTask]) -> list[Future[ChunkDone]]:
        submitted.extend(tasks)
        return submit(tasks)

    scheduler.submit = submits  # type: ignore[method-assign]  # the real one serves


def test_silence_is_no_text_and_no_work(hear: Hear) -> None:
    found, notes, pieces = hear(Tape(bytes(60 * RATE * 2), 5))
    assert found.chunks == found.work == ()
    assert pieces == []
    assert not [event for event in notes.events if event.type in {"chunk", "partial"}]


def test_each_word_of_a_long_speech_is_heard_once(hear: Hear) -> None:
    """Before its end nearly all of it; the rest is what the last cuts are about."""
    times = 8  # of 18.6 s, so more than a block of the detector
    found, notes, pieces = hear(Tape(spoken("hello-en", "hello-ru"), times))
    assert len(pieces) == 2 * times
    assert [(round(chunk.start * RATE), round(chunk.end * RATE)) for chunk in found.chunks] == [
        (piece.start, piece.stop) for piece in pieces
    ]
    assert len(found.work) == len(pieces)
    assert len([event for event in notes.events if event.type == "chunk"]) == len(pieces)


SENTENCE = spoken("hello-en")
PAUSED = len(SENTENCE) - RATE * 2
"""Where two seconds of the pause after it are there."""


@pytest.mark.parametrize("dropped", [False, True])
def test_what_was_heard_in_a_pause_is_not_heard_again_when_the_pause_has_lasted(hear: Hear, dropped: bool) -> None:
    submitted: list[ChunkTask] = []
    offered: list[ChunkTask] = []
    seen: list[Notes] = []
    waits: Future[ChunkDone] = Future()

    def watch(scheduler: Scheduler, notes: Notes) -> None:
        offer = scheduler.offer

        def offers(task: ChunkTask) -> Future[ChunkDone] | None:
            offered.append(task)
            return waits if dropped else offer(task)

        scheduler.offer = offers  # type: ignore[method-assign]  # the real one serves
        noted(scheduler, submitted)
        seen.append(notes)

    def drop() -> bool:
        if dropped:
            waits.set_exception(CanceledError("There is other work."))
        return True

    def told() -> bool:
        return bool(offered) and (dropped or any(event.type == "partial" for event in seen[0].events))

    feed = Steps(
        (lambda: True, SENTENCE[:PAUSED]),
        (told, SENTENCE[PAUSED:] + bytes(RATE * 2)),
        (drop, bytes(RATE * 2)),
    )
    found, _, [piece] = hear(feed, watch)
    assert [(task.start, task.stop, task.options.draft) for task in offered] == [(piece.start, piece.stop, False)]
    assert len(submitted) == dropped
    assert len(found.chunks) == len(found.work) == 1


def test_what_is_found_anew_as_the_microphone_overdrives_is_told_once(hear: Hear) -> None:
    """Such a level is judged with another gain, which moves the speech that was heard before by a little."""
    submitted: list[ChunkTask] = []
    seen: list[Notes] = []

    def watch(scheduler: Scheduler, notes: Notes) -> None:
        noted(scheduler, submitted)
        seen.append(notes)

    def told() -> bool:
        return any(event.type == "chunk" for event in seen[0].events)

    sentence = np.frombuffer(SENTENCE, np.int16)
    fade = 0.5 * np.exp(-20 * np.clip(np.linspace(-0.4, 0.6, len(sentence)), 0, None))
    fading = (sentence * fade).astype(np.int16).tobytes()
    overdriven = np.clip(sentence * 40.0, -32768, 32767).astype(np.int16).tobytes()
    feed = Steps((lambda: True, fading + bytes(RATE * 8)), (told, overdriven + bytes(RATE * 8)))
    found, _, pieces = hear(feed, watch)
    assert {(task.start, task.stop) for task in submitted} > {(piece.start, piece.stop) for piece in pieces}
    assert [(round(chunk.start * RATE), round(chunk.end * RATE)) for chunk in found.chunks] == [
        (piece.start, piece.stop) for piece in pieces
    ]
