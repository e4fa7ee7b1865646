"""The spool: private, gone when its owner is gone, and never another's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asrq_worker.spool import Spool

OWNER = """
import sys, pathlib
from asrq_worker.spool import Spool
spool = Spool(pathlib.Path(sys.argv[1]))
spool.new_file().write_bytes(b"speech")
print(spool.path, flush=True)
sys.stdin.read()
"""


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


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_what_a_killed_owner_left_is_removed_and_what_a_living_one_holds_is_not(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdin is not None
    with owner.stdout, owner.stdin:
        left = Path(owner.stdout.readline().strip())
        age(left)
        with Spool(tmp_path):
            assert left.is_dir()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    age(left)
    with Spool(tmp_path) as spool:
        assert list(tmp_path.iterdir()) == [spool.path]


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
