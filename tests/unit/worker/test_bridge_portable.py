"""The bridge is for Windows too: nothing in its path may need what only POSIX has."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
import psutil  # has a module of its own for each system, which may need them
for name in ("fcntl", "grp", "pty", "pwd", "resource", "termios"):
    sys.modules[name] = None
import asrq_worker.audio.decode_child
import asrq_worker.backends.fake
import asrq_worker.bridge.service
import asrq_worker.cli.bridge
import asrq_worker.engine.child
import asrq_worker.parent
"""


def test_no_module_that_windows_lacks() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_first_line_needs_nothing_heavy() -> None:
    program = (
        "import sys, asrq_worker.cli.bridge, asrq_worker.bridge.messages, asrq_worker.process.stdio\n"
        "print([name for name in ('numpy', 'redis', 'rq', 'psutil') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
