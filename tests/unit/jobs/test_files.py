"""Files that transcripts are written to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asrq_jobs.cli import files
from asrq_jobs.errors import OutputError
from asrq_jobs.uploads import shown_path


@pytest.mark.parametrize("name", ["a" * 255, "я" * 200, "日本" * 100, "🎤" * 80])
def test_a_name_that_is_too_long_is_cut_between_characters(tmp_path: Path, name: str) -> None:
    first = files.write(tmp_path, name, ".json", "one")
    second = files.write(tmp_path, name, ".json", "two")
    assert (first.read_text(), second.read_text()) == ("one", "two")
    assert second.name.endswith("-2.json")
    for path in (first, second):
        assert len(os.fsencode(path.name)) <= 255
        assert name.startswith(shown_path(path.name).removesuffix(".json").removesuffix("-2"))


def test_whatever_has_the_name_stays(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").mkdir()
    (tmp_path / "talk-2.txt").symlink_to("nowhere")
    assert files.write(tmp_path, "talk", ".txt", "x").name == "talk-3.txt"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk-2.txt", "talk-3.txt", "talk.txt"]


def test_a_file_has_the_rights_that_the_user_wants(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        path = files.write(tmp_path, "talk", ".txt", "x")
    finally:
        os.umask(mask)
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o640


def test_nothing_is_left_of_what_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for broken in ("hardlink_to", "replace"):
        monkeypatch.setattr(Path, broken, full)
    with pytest.raises(OutputError, match=r"Cannot write .*talk\.txt: No space left on device\."):
        files.write(tmp_path, "talk", ".txt", "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    assert files.write(tmp_path, "talk", ".txt", "one").read_text() == "one"
    assert files.write(tmp_path, "talk", ".txt", "two").name == "talk-2.txt"
    assert len(list(tmp_path.iterdir())) == 2
