"""What is listed of a store: fsspec's own in memory, which has the interface of all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import fsspec
import pytest

from asrq_jobs.cli.archive import stores
from asrq_jobs.cli.archive.items import Item, gather
from asrq_jobs.cli.archive.run import _request_of_address
from asrq_jobs.errors import ExtraMissingError, UsageError
from asrq_jobs.sources import Source


@pytest.fixture
def bucket() -> Iterator[str]:
    """Address of a few files, with a slash at its end."""
    files, name = fsspec.filesystem("memory"), f"bucket-{uuid.uuid4().hex}"
    for path in ("b.mp3", "a/Запись 1.wav", "a/notes.txt", ".old/c.mp3", "a.b/a.wav"):
        files.pipe(f"/{name}/{path}", b"sound")
    yield f"memory://{name}/"
    files.rm(f"/{name}", recursive=True)


def names(address: str) -> list[str]:
    return [file.name for file in stores.listed(address)]


def test_a_folder_has_its_media_files_and_a_pattern_what_it_finds(bucket: str) -> None:
    assert names(bucket) == ["a.b/a.wav", "a/Запись 1.wav", "b.mp3"]
    assert names(f"{bucket}a/") == ["Запись 1.wav"]
    assert names(f"{bucket}**/*.txt") == ["a/notes.txt"]
    assert names(f"{bucket}a*/a.wav") == ["a.b/a.wav"]


def test_files_are_named_as_those_of_a_folder_and_asked_for_by_address(bucket: str) -> None:
    found = gather([bucket], (), tell=print)
    assert [(item.name, item.source) for item in found] == [
        (name, Source(url=f"{bucket}{name}")) for name in ("a.b/a.wav", "a/Запись 1.wav", "b.mp3")
    ]


def test_a_file_that_has_changed_is_another_job(bucket: str) -> None:
    def ids() -> list[str]:
        return [_request_of_address(item, {}).id for item in gather([bucket], (), tell=print)]

    before = ids()
    assert ids() == before
    fsspec.filesystem("memory").pipe(f"{bucket}b.mp3", b"other sound")
    after = ids()
    assert after[:2] == before[:2]
    assert after[2] != before[2]


@pytest.mark.parametrize("address", ["https://host/talks/", "https://host/talk?id=*", "s3://bucket/talk.mp3"])
def test_an_address_of_one_file_is_asked_nothing(address: str) -> None:
    assert gather([address], (), tell=print) == [Item(Source(url=address).name, Source(url=address))]


def test_a_store_that_cannot_be_listed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"Cannot use nowhere://\*\*\*@bucket/: ValueError"):
        names("nowhere://me:secret@bucket/")
    with pytest.raises(UsageError, match="nothing to transcribe"):
        gather([f"memory://{uuid.uuid4().hex}/"], (), tell=print)

    def missing(_address: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(ExtraMissingError, match="scheme s3 need a package: Install s3fs"):
        names("s3://bucket/")
