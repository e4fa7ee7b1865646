"""Notices when the process that started this one has ended.

Linux's parent-death signal would be simpler and wrong: it comes when the *thread* that started us ends (prctl(2)),
and an application may start us from any.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from asrq_worker.process.supervision import Supervised

_POLL_S = 0.2


def watch(on_end: Callable[[], None]) -> None:
    """Call `on_end` once, in a thread of its own, when the process that started this one has ended."""
    wait = _wait_on_windows if sys.platform == "win32" else _wait_to_be_adopted

    def run() -> None:
        wait()
        on_end()

    Supervised("parent-watch", run, ends=True).start()


def _wait_to_be_adopted() -> None:
    """POSIX: the orphan gets another parent at once, even while nobody has reaped the old one."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(_POLL_S)


def _wait_on_windows() -> None:
    """Windows keeps the old parent's id, but a process can be waited for, which psutil does by its handle.

    pip's `asrq.exe` and venv's `python.exe` start the real Python as their child and wait for it; neither is the
    application, so what is in that folder is passed over.
    """
    launchers = Path(sysconfig.get_path("scripts"))
    try:
        ancestors = psutil.Process().parents()
        started_by = next(process for process in ancestors if Path(process.exe()).parent != launchers)
        started_by.wait()
    except (psutil.NoSuchProcess, StopIteration):
        return  # it ended while we looked
    except psutil.AccessDenied:  # another user's: only its closing of our standard input can tell
        threading.Event().wait()
