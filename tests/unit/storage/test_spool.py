"""The spool: private, gone when its owner is gone, and never another's."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from asrq_jobs.errors import NoRoomError, StorageError
from asrq_worker.process.locking import LOCK
from asrq_worker.storage.spool import Spool


def age(folder: Path) -> None:
    an_hour_ago = time.time() - 3600
    os.utime(folder, (an_hour_ago, an_hour_ago))


def test_files_are_new_and_vanish_with_the_spool(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        first, second = spool.new_file(".f32"), spool.new_file(".f32")
        assert first != second
        assert first.suffix == ".f32"
        assert not first.exists()
        first.write_bytes(b"speech")
        assert spool.path.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_others_cannot_look_into_it(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        assert spool.path.stat().st_mode & 0o777 == 0o700


def test_the_parent_is_made(tmp_path: Path) -> None:
    with Spool(tmp_path / "a" / "b") as spool:
        assert spool.path.is_dir()


def test_a_spool_that_is_just_being_made_is_left_alone(tmp_path: Path) -> None:
    unlocked = tmp_path / "asrq-spool-1-abc"
    unlocked.mkdir()
    with Spool(tmp_path):
        assert unlocked.is_dir()
    age(unlocked)
    with Spool(tmp_path):
        assert not unlocked.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_bytes(b"!")
    link = tmp_path / "asrq-spool-1-abc"
    link.symlink_to(precious)
    os.utime(link, (0, 0), follow_symlinks=False)
    with Spool(tmp_path):
        assert (precious / "file").is_file()


def test_one_that_is_removed_under_its_owner_is_made_again_and_may_be_used(tmp_path: Path) -> None:
    with Spool(tmp_path / "parent") as spool:
        before = spool.path
        shutil.rmtree(tmp_path / "parent")
        spool.new_file().write_bytes(b"speech")
        assert spool.path != before
        assert spool.path.stat().st_mode & 0o777 == 0o700 or sys.platform == "win32"
        assert spool.usage()[0] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="there nobody can remove a file that is open")
def test_whatever_is_removed_inside_a_living_owner_keeps_its_folder(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        for left in spool.path.iterdir():
            left.unlink()
        age(spool.path)
        with Spool(tmp_path):
            assert spool.path.is_dir()


def test_one_that_cannot_be_made_is_told_to_its_next_user(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Spool(tmp_path / "file" / "spool") as spool:
        with pytest.raises(StorageError):
            spool.new_file()
        assert spool.usage()[0] == 0
        (tmp_path / "file").unlink()
        assert spool.new_file().parent.is_dir()


def test_one_that_is_closed_is_not_made_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.close()
    with pytest.raises(StorageError, match="closed"):
        spool.new_file()
    assert list(tmp_path.iterdir()) == []


def test_a_check_leaves_nothing(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.check(1 << 20)
        assert spool.usage()[0] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX")
@pytest.mark.parametrize("room", [1 << 15, 1 << 20])
def test_a_check_writes_what_it_says(tmp_path: Path, room: int) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Spool(tmp_path) as spool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room - 1, before[1]))
        try:
            with pytest.raises(NoRoomError, match="too large"):
                spool.check(room)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        spool.check(room)
        assert spool.usage()[0] == 0


@pytest.fixture
def nfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that locks files alone, and those only for users who may write them."""
    import fcntl

    flock = fcntl.flock

    def only_files(lock: int | IO[bytes], operation: int) -> None:
        if isinstance(lock, int):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(lock, operation)

    monkeypatch.setattr(fcntl, "flock", only_files)


@pytest.mark.skipif(sys.platform == "win32", reason="there a file is locked")
def test_a_file_is_locked_where_the_folder_cannot_be(nfs: None, tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        assert spool.usage()[0] == 0
        age(spool.path)
        with Spool(tmp_path):
            assert spool.path.is_dir()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there a file is locked")
def test_what_is_left_goes_where_files_are_locked(nfs: None, tmp_path: Path) -> None:
    left = tmp_path / "asrq-spool-1-left"
    left.mkdir()
    (left / LOCK).touch()
    age(left)
    with Spool(tmp_path) as spool:
        assert list(tmp_path.iterdir()) == [spool.path]


@pytest.mark.skipif(sys.platform == "win32", reason="there nobody can remove a file that is open")
def test_a_lock_file_that_is_removed_is_no_proof_that_its_owner_is_gone(nfs: None, tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        kept = spool.new_file()
        kept.write_bytes(b"speech")
        (spool.path / LOCK).unlink()
        age(spool.path)
        with Spool(tmp_path), Spool(tmp_path):
            assert kept.read_bytes() == b"speech"


def _written(monkeypatch: pytest.MonkeyPatch, folder: Path, room: int) -> int:
    """How many bytes a check writes."""
    sizes: list[int] = []
    monkeypatch.setattr("asrq_worker.storage.spool.discard", lambda path: sizes.append(path.stat().st_size))
    with Spool(folder) as spool:
        spool.check(room)
    return sizes[0]


def test_room_is_not_asked_of_a_disk_that_says_that_it_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"total": 1 << 30, "free": 1 << 20})
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(NoRoomError, match=r"has room for 1.0 MB; 30.0 MB are wanted"):
        Spool(tmp_path).check(30_000_000)


def test_of_a_small_disk_half_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"total": 2 << 20, "free": 1 << 20})
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert _written(monkeypatch, tmp_path, 30_000_000) == 1 << 20


@pytest.mark.parametrize("total", [0, 1 << 40])
def test_without_a_way_to_set_room_aside_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int
) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    usage = type("Usage", (), {"total": total, "free": total})  # some file systems tell nothing
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert _written(monkeypatch, tmp_path, 200_000) == 200_000


def test_without_a_home_a_folder_has_to_be_named() -> None:
    """`~` is what the settings leave where there is none."""
    with pytest.raises(StorageError, match="this user has no home") as raised:
        Spool(Path("~/spool")).new_file()
    assert "ASRQ_SPOOL_DIR" in (raised.value.hint or "")
    assert not Path("~").exists()
