"""What a process does with memory that it frees, as the kernel counts it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

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
