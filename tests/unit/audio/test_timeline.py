"""From time stamps to the silence before each piece of sound."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from asrq_worker.audio.timeline import Clock, Timeline, clock

INFINITE = float("inf")
MP4 = "mov,mp4,m4a,3gp,3g2,mj2"


def gaps(times_s: Sequence[float | None], given: Clock, *, length_s: float = 0.02) -> list[float]:
    line = Timeline(given)
    return [round(line.place(time_s, length_s), 6) for time_s in times_s]


def test_pieces_that_follow_each_other_have_no_silence_between_them() -> None:
    line = Timeline(Clock(0.0))
    assert [line.place(number * 0.02, 0.02) for number in range(500)] == [0.0] * 500
    assert line.position_s == pytest.approx(10)


def test_sound_that_begins_late_and_gaps_are_filled() -> None:
    line = Timeline(Clock(0.0))
    assert line.place(4.0, 0.02) == 4
    assert line.place(4.02, 0.02) == 0
    assert line.place(24.04, 0.02) == pytest.approx(20)
    assert line.position_s == pytest.approx(24.06)


def test_jitter_makes_no_holes_and_does_not_add_up() -> None:
    jitter = (0.0, 0.03, -0.02, 0.04, -0.04)
    assert set(gaps([n * 0.02 + jitter[n % 5] for n in range(1000)], Clock(0.0))) == {0.0}


def test_a_clock_that_runs_late_is_followed() -> None:
    line = Timeline(Clock(0.0))
    for number in range(10_000):
        line.place(number * 0.0201, 0.02)
    assert line.position_s == pytest.approx(201, abs=0.2)


def test_sound_is_never_dropped_and_an_overlap_is_made_good_by_the_next_gap() -> None:
    assert gaps([0.0, 0.5, 3.0], Clock(0.0), length_s=1.0) == [0, 0, 1.0]


def test_time_stamps_that_begin_again_go_on_where_the_sound_is() -> None:
    assert gaps([0.0, 10.0, 0.0, 10.0, 25.0], Clock(0.0), length_s=10.0) == [0, 0, 0, 0, 5]


def test_pieces_without_time_stamps_follow_at_once() -> None:
    assert gaps([None, None, 0.04, None, 5.0], Clock(0.0)) == [0, 0, 0, 0, pytest.approx(4.92)]


def test_the_first_time_stamp_is_zero_if_nobody_says_otherwise() -> None:
    assert gaps([7000.0, 7000.02, 7003.0], Clock()) == [0, 0, pytest.approx(2.96)]


def test_a_time_stamp_after_the_end_is_damage() -> None:
    assert gaps([0.0, 1e6, 0.04, 3.0], Clock(0.0, end_s=10.0)) == [0, 0, 0, pytest.approx(2.94)]


def test_a_jump_too_long_for_a_loss_is_another_clock() -> None:
    given = Clock(0.0, longest_gap_s=60.0)
    assert gaps([0.0, 30.0, 90_000.0, 90_000.02, 90_001.0], given) == [0, 29.98, 0, 0, pytest.approx(0.96)]


@pytest.mark.parametrize("container", ["aac", "mp3", "ac3"])
def test_streams_without_time_stamps_have_no_gaps_whatever_ffmpeg_counts(container: str) -> None:
    at_half_speed = [number * 0.04 for number in range(500)]
    assert set(gaps(at_half_speed, clock(container, start_s=0.0, stated_s=9.0))) == {0.0}


@pytest.mark.parametrize(
    ("container", "start_s", "stated_s", "expected"),
    [
        ("wav", None, 5.0, Clock()),
        (MP4, 4.0, 100.0, Clock(0.0, 124.0)),
        (MP4, -0.02, 100.0, Clock(-0.02, 120.0)),
        (MP4, 86_000.0, None, Clock(86_000.0)),
        ("matroska,webm", 0.005, None, Clock(0.0)),
        ("ogg", 4.0, 100.0, Clock(4.0)),
        ("mpegts", 1.4, 100.0, Clock(1.4, longest_gap_s=60.0)),
    ],
)
def test_where_a_file_begins_and_ends(
    container: str, start_s: float | None, stated_s: float | None, expected: Clock
) -> None:
    made = clock(container, start_s=start_s, stated_s=stated_s)
    assert (made.origin_s, made.longest_gap_s) == (expected.origin_s, expected.longest_gap_s)
    assert made.end_s == pytest.approx(expected.end_s)
