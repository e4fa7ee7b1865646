"""What a user names, expanded."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from asrq_jobs.errors import UsageError
from asrq_jobs.sources import Source, expand


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.mp3", "a.WAV", "notes.txt", ".hidden.mp3", "sub/c.mkv", ".git/d.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_gives_its_media_sorted_and_without_hidden_ones(folder: Path) -> None:
    found = expand([str(folder)], recursive=True)
    assert [source.path.relative_to(folder).as_posix() for source in found if source.path] == [
        "a.WAV", "b.mp3", "sub/c.mkv"
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there, and there are no pipes with names")
def test_what_of_a_folder_is_left_out_is_said(folder: Path) -> None:
    (folder / "gone.wav").symlink_to("nowhere")
    (folder / "gone.txt").symlink_to("nowhere")
    (folder / "other").symlink_to(folder / "sub")
    (folder / "whole.wav").symlink_to(folder / "b.mp3")
    os.mkfifo(folder / "pipe.wav")
    said: list[str] = []
    found = expand([str(folder)], recursive=True, tell=said.append)
    assert [source.name for source in found] == ["a.WAV", "b.mp3", "whole.wav", "c.mkv"]
    assert said == [
        f"{folder}/other is left out: links to folders are not followed.",
        f"{folder}/gone.wav is left out: it is a link that leads nowhere.",
        f"{folder}/pipe.wav is left out: it is no file.",
    ]


def test_a_folder_that_cannot_be_read_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refuse(path: str) -> Any:
        if Path(path).name == "sub":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    said: list[str] = []
    assert len(expand([str(folder)], recursive=True, tell=said.append)) == 2
    assert said == [f"{folder / 'sub'} is left out: Permission denied."]


def test_a_folder_needs_recursive(folder: Path) -> None:
    with pytest.raises(UsageError, match="is a folder") as caught:
        expand([str(folder)], recursive=False)
    assert "--recursive" in (caught.value.hint or "")


def test_a_folder_without_media_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no audio or video"):
        expand([str(tmp_path)], recursive=True)


@pytest.mark.parametrize("recursive", [False, True])
def test_a_folder_beside_files_is_its_own_failure(tmp_path: Path, recursive: bool) -> None:
    found = expand(["a.wav", str(tmp_path), "b.wav"], recursive=recursive)
    assert [source.wrong is None for source in found] == [True, False, True]
    assert found[1].wrong
    assert found[1].wrong.code == "audio_not_found"
    assert found[1].shown == str(tmp_path)


def test_named_files_keep_their_order_whatever_their_ending(folder: Path) -> None:
    arguments = [str(folder / "notes.txt"), str(folder / "missing.mp3")]
    assert [str(source) for source in expand(arguments, recursive=False)] == arguments


def test_standard_input_and_urls_are_told_apart() -> None:
    found = expand(["-", "https://host/a/talk.mp3?key=1"], recursive=False)
    assert [source.name for source in found] == ["stdin", "talk.mp3"]
    assert [str(source) for source in found] == ["-", "https://host/a/talk.mp3?***"]
    assert Source(url="https://host/").name == "host"
    for url in ("https://user:geheim@host", "https://user:ge/heim@host/talk.mp3", "https://host/talk.mp3#geheim"):
        assert "heim" not in Source(url=url).name + str(Source(url=url))
        assert Source(url=url).url == url


def test_standard_input_can_be_read_only_once() -> None:
    with pytest.raises(UsageError, match="only once"):
        expand(["-", "-"], recursive=False)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_a_file_name_that_is_no_unicode_gets_a_name_that_is() -> None:
    name = Source(path=Path(os.fsdecode(b"caf\xe9.mp3"))).name
    assert name == "caf\ufffd.mp3"
