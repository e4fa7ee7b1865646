"""What the C library does with memory that a process frees (glibc; others are left as they are).

By itself, glibc returns large blocks to the kernel, which clears each page before it hands it out again. Whisper's
encoder asks for the same blocks in each of its layers: a fifth of its time for 30 s of audio went there.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from pathlib import Path

KEPT = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
"""Environment of a process that keeps what it frees, as mallopt(3) has it: in one heap, since those of other threads
hold no block above 64 MiB."""

_SELF = Path("/proc/self")


def trim() -> None:
    """Return to the kernel what is free now."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def grown_by(work: Callable[[], None]) -> int | None:
    """Return by how many bytes resident memory grew while something was done, at its peak; None where none can tell.

    https://docs.kernel.org/filesystems/proc.html: `VmHWM` of status, and 5 for clear_refs.
    """
    trim()
    try:
        (_SELF / "clear_refs").write_text("5")
        before = _peak()
    except (OSError, StopIteration):
        work()
        return None
    work()
    return _peak() - before


def _peak() -> int:
    lines = (_SELF / "status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
