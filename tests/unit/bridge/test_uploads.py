"""Audio handed over in pieces."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrq_jobs.errors import (
    AudioEmptyError,
    AudioMismatchError,
    AudioTooLargeError,
    BlobMissingError,
    InvalidRequestError,
    NoRoomError,
)
from asrq_jobs.request import BlobAudio
from asrq_worker.bridge.uploads import PendingUploads
from asrq_worker.storage.spool import Spool

CONTENT = b"stands for audio"
SHA = hashlib.sha256(CONTENT).hexdigest()
AUDIO = BlobAudio(sha256=SHA, bytes=len(CONTENT), name="clip.wav")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path) as spool:
        yield spool


def files(spool: Spool) -> list[bytes]:
    return [path.read_bytes() for path in spool.path.iterdir() if path.suffix != ".lock"]


def test_pieces_make_a_file(spool: Spool) -> None:
    uploads = PendingUploads(spool, most=100)
    uploads.add(SHA, 0, CONTENT[:6])
    uploads.add(SHA, 6, CONTENT[6:])
    assert uploads.take(AUDIO).read_bytes() == CONTENT
    with pytest.raises(BlobMissingError, match="used it already"):
        uploads.take(AUDIO)


def test_a_piece_that_cannot_be_kept_is_refused_with_its_upload(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = PendingUploads(spool, most=100)
    uploads.add(SHA, 0, CONTENT[:6])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(NoRoomError):
            uploads.add(SHA, 6, CONTENT[6:])
    assert files(spool) == []
    with pytest.raises(BlobMissingError):
        uploads.take(AUDIO)


def test_offset_0_begins_anew(spool: Spool) -> None:
    uploads = PendingUploads(spool, most=100)
    uploads.add(SHA, 0, b"cut off")
    uploads.add(SHA, 0, CONTENT)
    assert uploads.take(AUDIO).read_bytes() == CONTENT
    assert files(spool) == [CONTENT]


@pytest.mark.parametrize("offset", [1, 5, 7])
def test_a_piece_out_of_order(spool: Spool, offset: int) -> None:
    uploads = PendingUploads(spool, most=100)
    uploads.add(SHA, 0, CONTENT[:6])
    with pytest.raises(InvalidRequestError, match="cannot follow 6 bytes"):
        uploads.add(SHA, offset, b"x")
    uploads.add(SHA, 6, CONTENT[6:])  # it has done no harm
    uploads.take(AUDIO)


def test_a_piece_of_nothing(spool: Spool) -> None:
    with pytest.raises(InvalidRequestError, match="cannot follow 0 bytes"):
        PendingUploads(spool, most=100).add(SHA, 6, b"x")


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"!", CONTENT.upper()])
def test_not_what_was_announced(spool: Spool, content: bytes) -> None:
    uploads = PendingUploads(spool, most=100)
    uploads.add(SHA, 0, content)
    with pytest.raises(AudioMismatchError):
        uploads.take(AUDIO)
    assert files(spool) == []


def test_nothing(spool: Spool) -> None:
    with pytest.raises(AudioEmptyError, match=r"clip\.wav"):
        PendingUploads(spool, most=100).take(AUDIO.model_copy(update={"bytes": 0}))


def test_too_much_at_once(spool: Spool) -> None:
    uploads = PendingUploads(spool, most=20)
    uploads.add(SHA, 0, CONTENT)
    with pytest.raises(AudioTooLargeError):
        uploads.add("f" * 64, 0, CONTENT)
    assert files(spool) == [CONTENT]
    uploads.take(AUDIO)  # no longer counts
    uploads.add("f" * 64, 0, CONTENT)
