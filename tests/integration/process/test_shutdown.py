"""How a program ends."""

from __future__ import annotations

import subprocess
import sys


def test_what_a_command_has_loaded_is_not_searched_for_garbage_as_it_ends() -> None:
    """That takes longer than everything else that a worker does at its end."""
    program = (
        "import gc; from asrq_jobs.settings import Settings; from asrq_worker.cli.running import stopped_by_signals\n"
        "with stopped_by_signals(Settings()): assert not gc.get_freeze_count()\n"
        "assert gc.get_freeze_count()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
