"""The bridge says its first line at once, whatever is loaded later."""

from __future__ import annotations

import subprocess
import sys


def test_the_first_line_needs_nothing_heavy() -> None:
    program = (
        "import sys, asrq_worker.cli.bridge, asrq_worker.bridge.messages, asrq_worker.process.stdio\n"
        "print([name for name in ('numpy', 'redis', 'rq', 'psutil') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
