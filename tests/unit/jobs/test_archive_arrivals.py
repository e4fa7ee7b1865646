"""What arrives in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asrq_jobs.cli.archive.arrivals import Arrivals


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def arrivals(tmp_path: Path, clock: Clock) -> Arrivals:
    return Arrivals(tmp_path, 5.0, clock=clock)


def at(clock: Clock, arrivals: Arrivals, now: float) -> list[str]:
    clock.now = now
    return [item.name for item in arrivals.look()]


def test_a_file_is_taken_once_it_rests_and_once_only(tmp_path: Path, clock: Clock, arrivals: Arrivals) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/talk.wav").write_bytes(b"1")
    (tmp_path / "notes.txt").write_bytes(b"1")
    assert [at(clock, arrivals, now) for now in (0, 4.9, 5, 6, 60)] == [[], [], ["a/talk.wav"], [], []]


def test_a_file_that_grows_does_not_rest(tmp_path: Path, clock: Clock, arrivals: Arrivals) -> None:
    for now in range(0, 20, 4):
        with (tmp_path / "talk.wav").open("ab") as file:
            file.write(b"1")
        assert at(clock, arrivals, now) == []
    assert at(clock, arrivals, 21) == ["talk.wav"]


def test_a_file_that_changes_later_is_taken_again(tmp_path: Path, clock: Clock, arrivals: Arrivals) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"1")
    assert [at(clock, arrivals, now) for now in (0, 5)] == [[], ["talk.wav"]]
    os.utime(path, ns=(1, 1))
    assert [at(clock, arrivals, now) for now in (6, 11, 12)] == [[], ["talk.wav"], []]


def test_one_that_is_moved_has_its_new_name_and_one_that_is_gone_none(
    tmp_path: Path, clock: Clock, arrivals: Arrivals
) -> None:
    (tmp_path / "talk.part.wav").write_bytes(b"1")
    (tmp_path / "gone.wav").write_bytes(b"1")
    assert at(clock, arrivals, 0) == []
    (tmp_path / "talk.part.wav").rename(tmp_path / "talk.wav")
    (tmp_path / "gone.wav").unlink()
    assert [at(clock, arrivals, now) for now in (5, 10, 11)] == [[], ["talk.wav"], []]


def test_what_is_left_out_is_said_once(
    tmp_path: Path, clock: Clock, arrivals: Arrivals, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dir.wav").mkdir()
    (tmp_path / "dir.wav/x.wav").symlink_to("nowhere")
    for now in range(3):
        assert at(clock, arrivals, now) == []
    assert capsys.readouterr().err.count("leads nowhere") == 1
