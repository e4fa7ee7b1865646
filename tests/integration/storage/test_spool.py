"""Spools of processes that were killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asrq_worker.storage.spool import Spool

OWNER = """
import sys, pathlib
from asrq_worker.storage.spool import Spool
spool = Spool(pathlib.Path(sys.argv[1]))
spool.new_file().write_bytes(b"speech")
print(spool.path, flush=True)
sys.stdin.read()
"""


def age(folder: Path) -> None:
    an_hour_ago = time.time() - 3600
    os.utime(folder, (an_hour_ago, an_hour_ago))


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
