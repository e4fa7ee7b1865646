"""A lock on an open file that the system releases when its process ends, however it ends."""

from __future__ import annotations

import sys
from typing import IO


def take(file: IO[bytes]) -> None:
    """Lock the file without waiting; OSError if another holds it. The lock ends with the file or the process."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
