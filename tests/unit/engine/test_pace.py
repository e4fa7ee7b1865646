"""How fast an engine is, from what it has done."""

from __future__ import annotations

import math

import pytest

from asrq_worker.engine.pace import REMEMBERED, Pace

FILES, CLIPS = ("batch", "transcribe", False), ("interactive", "transcribe", False)


def test_before_anything_is_done_it_is_what_the_warm_up_took() -> None:
    assert Pace().of(FILES, unknown=0.3) == 0.3
    assert Pace().audio_s(2.0, FILES, unknown=0.5) == 4.0
    assert Pace().audio_s(2.0, FILES, unknown=0.0) == math.inf


def test_kinds_are_told_apart() -> None:
    pace = Pace()
    pace.note(FILES, audio_s=28.0, took_s=1.4)
    assert pace.of(FILES, unknown=9) == pytest.approx(0.05)
    assert pace.of(CLIPS, unknown=9) == 9


def test_what_is_out_of_the_ordinary_moves_it_little() -> None:
    pace = Pace()
    for took_s in (1.0, 1.1, 60.0, 1.2, 0.0, 1.3, 60.0):
        pace.note(FILES, audio_s=10.0, took_s=took_s)
    assert pace.of(FILES, unknown=9) == pytest.approx(0.12)


def test_it_follows_an_engine_that_changes() -> None:
    pace = Pace()
    for took_s in (1.0, 2.0):
        for _ in range(REMEMBERED):
            pace.note(FILES, audio_s=10.0, took_s=took_s)
    assert pace.of(FILES, unknown=9) == pytest.approx(0.2)


def test_batches_of_much_audio_count_more_than_small_ones() -> None:
    """On a GPU a small batch takes nearly as long as a full one."""
    pace = Pace()
    for _ in range(8):
        pace.note(FILES, audio_s=5.0, took_s=0.2)
    pace.note(FILES, audio_s=448.0, took_s=0.5)
    assert pace.of(FILES, unknown=9) == pytest.approx(0.5 / 448)
