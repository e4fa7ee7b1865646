"""Long recordings that come many times faster than they are spoken, with real decoders and a fake engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from integration.job.journals import Notes
from support.speaking import RATE, spoken

from asrq_jobs.request import LiveAudio, Request
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.live import Arrived, Recordings
from asrq_worker.audio.split import Piece, split
from asrq_worker.backends.base import BackendConfig
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.fleet import Fleet
from asrq_worker.job import inference
from asrq_worker.job.control import JobControl
from asrq_worker.job.hearing import InferenceJob
from asrq_worker.job.transcription import Transcription
from asrq_worker.storage.spool import Spool

_READ = 30 * RATE * 2


Heard = tuple[Transcription, Notes, list[Piece]]
Hear = Callable[[bytes, int], Heard]


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

    def interrupt(self) -> None:
        raise AssertionError("there is always more")


@pytest.fixture
def hear(tmp_path: Path) -> Iterator[Hear]:
    """Hear a sound that is repeated so many times, and return what came of it, and what was told."""
    decoders = DecoderPool(1, memory_mb=4096, stall_s=60, max_s=5 * 3600)
    decoders.start()
    fleet = Fleet(lambda name: Engine(name, BackendConfig("fake", tmp_path)))
    spool = Spool(tmp_path)

    def heard(sound: bytes, times: int) -> Heard:
        audio = LiveAudio(kind="live", encoding="pcm_s16le", sample_rate=RATE, channels=1)
        request = Request.build(id="job", audio=audio, language="en", prompt="words", lane="interactive")
        notes, control = Notes(), JobControl()
        member = fleet.enlist("fake")
        loaded = member.engine.wait_ready(60)
        recordings = Recordings(lambda _job: Tape(sound, times), spool, decoders, idle_s=60)
        with recordings.open("job", audio, control.check, lambda _recording: None) as recording:
            found = inference.transcribe(InferenceJob(request, control, notes), recording, member, loaded, chunk_s=28)
            assert recording.samples * 2 == times * len(sound)
            return found, notes, split(recording.spans, longest_s=28, read=recording.read)

    yield heard
    fleet.close()
    decoders.close()
    spool.close()


def test_silence_is_no_text_and_no_work(hear: Hear) -> None:
    found, notes, pieces = hear(bytes(60 * RATE * 2), 5)
    assert found.chunks == found.work == ()
    assert pieces == []
    assert not [event for event in notes.events if event.type in {"chunk", "partial"}]


def test_each_word_of_a_long_speech_is_heard_once(hear: Hear) -> None:
    """Before its end nearly all of it; the rest is what the last cuts are about."""
    times = 8  # of 18.6 s, so more than a block of the detector
    found, notes, pieces = hear(spoken("hello-en", "hello-ru"), times)
    assert len(pieces) == 2 * times
    assert [(round(chunk.start * RATE), round(chunk.end * RATE)) for chunk in found.chunks] == [
        (piece.start, piece.stop) for piece in pieces
    ]
    assert len(found.work) == len(pieces)
    assert len([event for event in notes.events if event.type == "chunk"]) == len(pieces)
