"""How far a job is, and how fast."""

from __future__ import annotations

import time

import pytest

from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import SAMPLE_RATE, Transcript
from asrq_worker.job.progress import Progress


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
    chunk, after = progress.heard(piece(3), Transcript("hello", "en"), until=piece(3).stop)
    assert (chunk.start, chunk.end, chunk.until) == (30, 40, 40)
    assert (after.done_s, after.fraction, after.rtfx) == (40, 1.0, 2.0)
