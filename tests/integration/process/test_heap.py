"""What a process does with memory that it frees, as the kernel counts it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from asrq_worker.process import heap

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")

BLOCKS_MB = (72, 9, 72)
FREES = """
import json, resource, threading
import psutil
from asrq_worker.process import heap

def work():
    for megabytes in %s:
        b"x" * (megabytes << 20)

def in_a_thread():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize()

in_a_thread()
again = in_a_thread()
kept = psutil.Process().memory_info().rss
heap.trim()
print(json.dumps([again, kept - psutil.Process().memory_info().rss]))
"""


def test_what_was_freed_is_used_again_without_the_kernel_until_it_is_returned() -> None:
    usual = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    script = [sys.executable, "-c", FREES % (BLOCKS_MB,)]
    told = subprocess.run(script, env=usual | heap.KEPT, check=True, capture_output=True, text=True)
    cleared, returned = json.loads(told.stdout)
    assert cleared < max(BLOCKS_MB) << 20 >> 4
    assert returned >= max(BLOCKS_MB) << 20 >> 1


def test_the_growth_of_a_process_is_that_at_its_peak() -> None:
    megabytes = 90

    def work() -> None:
        b"x" * (megabytes << 20)

    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux says what a process took at its peak")
    grown = heap.grown_by(work)
    assert grown is not None
    assert megabytes - 10 < grown / 2**20 < megabytes + 30
    less = heap.grown_by(lambda: None)
    assert less is not None
    assert less < 10 << 20, "what was done before does not count"


def test_where_the_system_does_not_tell_of_growth_the_work_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(heap, "_SELF", tmp_path / "none")
    done: list[bool] = []
    assert heap.grown_by(lambda: done.append(True)) is None
    assert done == [True]
