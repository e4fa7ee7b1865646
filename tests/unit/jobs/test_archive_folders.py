"""Transcripts and the report on them, in a folder here and in a store."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from asrq_jobs.cli.archive import folders
from asrq_jobs.cli.archive.folders import REPORT, Folder, opened
from asrq_jobs.errors import OutputError, UsageError

STORE = fsspec.filesystem("memory")


@pytest.fixture(params=["folder", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "out")
        return
    name = f"bucket-{uuid.uuid4().hex}"
    yield f"memory://{name}/out"
    STORE.rm(f"/{name}", recursive=True)


@pytest.fixture
def store() -> Iterator[str]:
    name = f"bucket-{uuid.uuid4().hex}"
    yield f"memory://{name}/out"
    STORE.rm(f"/{name}", recursive=True)


def names(place: str) -> list[str]:
    files, root = fsspec.url_to_fs(place)
    return sorted(str(path).removeprefix(f"{root}/") for path in files.find(root))


def test_a_transcript_is_there_with_all_that_it_holds(place: str) -> None:
    folder = opened(place)
    assert not folder.has("a/talk.txt")
    assert folder.digest("a/talk.txt") is None
    for text in ("first\n", "Второй\n"):
        folder.put("a/talk.txt", text)
        assert folder.digest("a/talk.txt") == hashlib.sha256(text.encode()).hexdigest()
    assert folder.has("a/talk.txt")


def test_each_run_sees_what_others_have_added_and_no_line_twice(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_LOOK_S", 0.0)
    one, other = opened(place), opened(place)
    one.add(b"1\n")
    one.put("1.txt", "text")
    other.add(b"2\n")
    other.put("2.txt", "text")
    assert sorted(other.news()) in ([b"1\n"], [b"1\n", b"2\n"])
    assert list(other.news()) == []
    assert list(opened(place).everything()) == [b"1\n", b"2\n"]


def test_a_tidied_report_loses_no_line(place: str) -> None:
    one, other = opened(place), opened(place)
    one.add(b"1\n")
    other.add(b"2\n")
    other.put("2.txt", "text")
    one.tidy(b"".join(one.everything()))
    other.add(b"3\n")
    assert sorted(other.everything()) == [b"1\n", b"2\n", b"3\n"]
    other.tidy(b"".join(other.everything()))
    assert names(place) == ["2.txt", REPORT]
    assert sorted(opened(place).news()) == [b"1\n", b"2\n", b"3\n"]


def test_a_line_is_in_the_store_before_the_file_that_follows_it(store: str) -> None:
    folder: Folder = opened(store)
    folder.add(b"queued\n")
    written = STORE.pipe_file

    def dies_at_the_transcript(path: str, content: bytes) -> None:
        if path.endswith("talk.txt"):
            raise RuntimeError("The network has gone.")
        written(path, content)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(STORE, "pipe_file", dies_at_the_transcript)
        with pytest.raises(OutputError, match=r"RuntimeError: The network"):
            folder.put("talk.txt", "text")
    assert list(opened(store).news()) == [b"queued\n"]


def test_a_store_is_not_asked_for_news_at_each_look(store: str) -> None:
    one, other = opened(store), opened(store)
    assert list(one.news()) == []
    other.add(b"1\n")
    other.put("1.txt", "text")
    assert list(one.news()) == []


def test_what_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="Cannot write into the folder"):
        opened(str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"Cannot use nowhere://\*\*\*@bucket: ValueError"):
        opened("nowhere://me:secret@bucket")
