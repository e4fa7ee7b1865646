"""Paths and uploads: what may be read, and what is said when it may not."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from asrq_jobs import keys
from asrq_jobs.errors import (
    AsrqError,
    AudioEmptyError,
    AudioMismatchError,
    AudioNotFoundError,
    AudioTooLargeError,
    AudioUnreadableError,
    BlobMissingError,
    CanceledError,
    PathNotAllowedError,
    QueueUnreachableError,
)
from asrq_jobs.request import BlobAudio, PathAudio
from asrq_jobs.settings import Settings
from asrq_worker.audio.source import Fetcher, LocalAudio
from asrq_worker.queue.uploads import Uploads
from asrq_worker.storage.spool import Spool

from .conftest import nothing

posix = pytest.mark.skipif(sys.platform == "win32", reason="links, modes and FIFOs are POSIX")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that jobs may name files in, with one in it and one outside."""
    (tmp_path / "outside.wav").write_bytes(b"secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "talk.wav").write_bytes(b"speech")
    return root


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool") as spool:
        yield spool


@pytest.fixture
def source(root: Path, spool: Spool) -> Fetcher:
    return Fetcher(Settings(audio_roots=(root,), max_audio_mb=1), spool, None)


def at_its_beginning(local: LocalAudio) -> bytes:
    local.file.seek(0)
    return local.file.read()


def read(source: Fetcher, path: Path | str) -> LocalAudio:
    return source.fetch(PathAudio(path=str(path)), nothing)


def test_a_path_is_used_where_it_is(source: Fetcher, root: Path) -> None:
    local = read(source, root / "talk.wav")
    digest = hashlib.sha256(b"speech").hexdigest()
    assert (local.bytes, local.sha256, local.name, local.ours) == (6, digest, "talk.wav", None)
    assert at_its_beginning(local) == b"speech"
    local.discard()
    assert local.file.closed
    assert (root / "talk.wav").is_file()


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("{root}/missing.wav", AudioNotFoundError),
        ("{root}/talk.wav/deeper.wav", AudioNotFoundError),
        ("{root}/\0.wav", AudioNotFoundError),
        ("{root}/" + "a" * 300, AudioUnreadableError),
        ("{root}/../outside.wav", PathNotAllowedError),
        ("{root}/../missing.wav", PathNotAllowedError),
        ("{root}/../root-of-others/talk.wav", PathNotAllowedError),
        ("{root}", AudioUnreadableError),
        ("talk.wav", PathNotAllowedError),
        ("", PathNotAllowedError),
        ("~/talk.wav", PathNotAllowedError),
    ],
)
def test_what_a_path_may_not_be(source: Fetcher, root: Path, path: str, error: type[AsrqError]) -> None:
    with pytest.raises(error) as raised:
        source.fetch(PathAudio.model_construct(path=path.format(root=root)), nothing)
    assert type(raised.value) is error


@posix
def test_a_link_out_of_the_root_leads_nowhere(source: Fetcher, root: Path) -> None:
    (root / "link.wav").symlink_to(root.parent / "outside.wav")
    (root / "folder").symlink_to(root.parent)
    for path in ("link.wav", "folder/outside.wav"):
        with pytest.raises(PathNotAllowedError):
            read(source, root / path)


@posix
def test_a_link_within_the_root_and_a_root_that_is_a_link_are_followed(root: Path, spool: Spool) -> None:
    (root / "link.wav").symlink_to(root / "talk.wav")
    alias = root.parent / "alias"
    alias.symlink_to(root)
    source = Fetcher(Settings(audio_roots=(alias,)), spool, None)
    assert at_its_beginning(read(source, alias / "link.wav")) == b"speech"


@posix
def test_a_loop_of_links_is_no_file(source: Fetcher, root: Path) -> None:
    (root / "a").symlink_to(root / "b")
    (root / "b").symlink_to(root / "a")
    with pytest.raises(AsrqError):
        read(source, root / "a")


@posix
def test_fifos_and_devices_are_refused_at_once(root: Path, spool: Spool) -> None:
    os.mkfifo(root / "fifo")
    source = Fetcher(Settings(), spool, None, any_path=True)
    for path in (root / "fifo", "/dev/zero"):
        with pytest.raises(AudioUnreadableError, match="not a file"):
            read(source, path)


@posix
@pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(source: Fetcher, root: Path) -> None:
    (root / "talk.wav").chmod(0)
    with pytest.raises(AudioUnreadableError, match="Permission denied"):
        read(source, root / "talk.wav")


def test_without_roots_no_path_is_allowed(root: Path, spool: Spool) -> None:
    with pytest.raises(PathNotAllowedError) as raised:
        read(Fetcher(Settings(), spool, None), root / "talk.wav")
    assert "ASRQ_AUDIO_ROOTS" in (raised.value.hint or "")


def test_the_one_shot_runner_may_read_any_path(root: Path, spool: Spool) -> None:
    source = Fetcher(Settings(), spool, None, any_path=True)
    assert read(source, root.parent / "outside.wav").bytes == 6
    for missing in (root / "missing.wav", f"{root}/\0.wav"):
        with pytest.raises(AudioNotFoundError) as caught:
            source.fetch(PathAudio.model_construct(path=str(missing)), nothing)
        assert caught.value.hint == "Check the path."
    with pytest.raises(AudioUnreadableError) as unreadable:
        read(source, root / ("a" * 300))
    assert unreadable.value.hint == "Let this user read it."


def test_zero_bytes_are_empty(source: Fetcher, root: Path) -> None:
    (root / "empty.wav").touch()
    with pytest.raises(AudioEmptyError):
        read(source, root / "empty.wav")


def test_the_size_limit(source: Fetcher, root: Path) -> None:
    (root / "large.wav").write_bytes(bytes(2**20))
    assert read(source, root / "large.wav").bytes == 2**20
    (root / "large.wav").write_bytes(bytes(2**20 + 1))
    with pytest.raises(AudioTooLargeError, match="more than 1 MiB"):
        read(source, root / "large.wav")


# Uploads


def upload(redis: Redis, content: bytes) -> BlobAudio:
    digest = hashlib.sha256(content).hexdigest()
    redis.set(keys.blob(digest), content)
    return BlobAudio(sha256=digest, bytes=len(content), name="talk.mp3")


@pytest.mark.parametrize("size", [1, 4 << 20, (4 << 20) + 1, 9 << 20])
def test_an_upload_becomes_a_file_in_the_spool(redis: Redis, spool: Spool, size: int) -> None:
    content = os.urandom(size)
    audio = upload(redis, content)
    local = Fetcher(Settings(), spool, Uploads(redis, Settings())).fetch(audio, nothing)
    assert local.ours is not None
    assert local.ours.parent == spool.path
    assert at_its_beginning(local) == content
    assert (local.bytes, local.sha256, local.name) == (size, audio.sha256, "talk.mp3")
    local.discard()
    local.discard()
    assert not local.ours.exists()


def leftovers(spool: Spool) -> set[str]:
    return {path.name for path in spool.path.iterdir()}


def test_an_upload_that_expired_is_missing(redis: Redis, spool: Spool) -> None:
    audio = upload(redis, b"speech")
    redis.flushall()
    with pytest.raises(BlobMissingError):
        Fetcher(Settings(), spool, Uploads(redis, Settings())).fetch(audio, nothing)
    assert leftovers(spool) == set()


def test_an_upload_of_other_bytes_is_refused(redis: Redis, spool: Spool) -> None:
    audio = upload(redis, b"speech")
    redis.set(keys.blob(audio.sha256), b"another")
    with pytest.raises(AudioMismatchError):
        Fetcher(Settings(), spool, Uploads(redis, Settings())).fetch(audio, nothing)
    assert leftovers(spool) == set()


def test_an_upload_of_nothing_is_empty(redis: Redis, spool: Spool) -> None:
    with pytest.raises(AudioEmptyError):
        Fetcher(Settings(), spool, Uploads(redis, Settings())).fetch(upload(redis, b""), nothing)


def test_an_upload_over_the_limit_is_refused(redis: Redis, spool: Spool) -> None:
    with pytest.raises(AudioTooLargeError):
        Fetcher(Settings(max_audio_mb=1), spool, Uploads(redis, Settings())).fetch(
            upload(redis, bytes(2**20 + 1)), nothing
        )
    assert leftovers(spool) == set()


def test_what_check_raises_passes_on_and_leaves_nothing(redis: Redis, spool: Spool) -> None:
    def check() -> None:
        raise CanceledError("Canceled.")

    with pytest.raises(CanceledError):
        Fetcher(Settings(), spool, Uploads(redis, Settings())).fetch(upload(redis, b"speech"), check)
    assert leftovers(spool) == set()


def test_uploads_need_redis(spool: Spool) -> None:
    with pytest.raises(BlobMissingError):
        Fetcher(Settings(), spool, None).fetch(BlobAudio(sha256="0" * 64, bytes=1), nothing)


def test_redis_away_is_said_in_one_sentence(spool: Spool) -> None:
    away = Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    with pytest.raises(QueueUnreachableError):
        Fetcher(Settings(), spool, Uploads(away, Settings())).fetch(BlobAudio(sha256="0" * 64, bytes=1), nothing)
    assert leftovers(spool) == set()
