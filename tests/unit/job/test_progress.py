"""How far a job is, and how fast."""

from __future__ import annotations

import time

import pytest

from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import SAMPLE_RATE, Transcript
from asrq_worker.job.progress import Progress, told


def piece(number: int) -> Piece:
    return Piece(number * 10 * SAMPLE_RATE, (number + 1) * 10 * SAMPLE_RATE)


def test_what_an_earlier_attempt_has_heard_is_done_but_makes_nobody_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 101.0, 105.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = Progress()
    for number in range(4):
        progress.expect(10)
        if number < 3:
            progress.restored(piece(number))
    before = progress.now()
    assert (before.done_s, before.audio_s, before.fraction, before.rtfx) == (30, 40, 0.75, None)
    progress.heard(piece(3))
    after = progress.now()
    assert (after.done_s, after.fraction, after.rtfx) == (40, 1.0, 2.0)


def test_the_text_of_a_piece_has_its_place() -> None:
    chunk = told(piece(3), Transcript("hello", "en"), until=piece(3).stop)
    assert (chunk.start, chunk.end, chunk.until, chunk.text) == (30, 40, 40, "hello")


def test_a_fraction_never_falls_and_is_whole_only_when_nothing_is_left() -> None:
    progress = Progress()
    told = []
    for number, expected in enumerate([30, -5, 1000, 0]):
        progress.expect(expected)
        progress.heard(piece(number))
        told.append(progress.now().fraction)
    progress.expect(-progress.audio_s + 40)
    assert told == [0.3333, 0.8, 0.8, 0.8]
    assert progress.now().fraction == 1.0
    assert Progress(audio_s=100_000, done_s=99_999.9).now().fraction == 0.9999


def test_while_a_recording_goes_on_nobody_knows_how_much_of_it_is_done() -> None:
    progress = Progress(audio_s=10, done_s=10, ends=False)
    assert progress.now().fraction is None
    progress.ends = True
    progress.expect(10)
    assert progress.now().fraction == 0.5
