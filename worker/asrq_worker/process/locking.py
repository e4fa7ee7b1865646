"""A lock on a folder that the system releases when its holder's process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

LOCK = "owner.lock"
"""A file in the folder, where the system cannot lock the folder itself. On Windows none that is held can be removed."""


class Hold:
    """Holds a folder until it is closed, or the process ends."""

    def __init__(self, folder: Path, *, left: bool = False) -> None:
        """Take the lock without waiting; `left`: as one who believes that its holder is gone.

        Such a one makes no lock file. Where there is none though the system needs one, somebody may have removed it
        under a living holder.

        The folder itself is locked: a file in it may be removed by a cleaner of temporary folders (which
        leaves those alone that are locked: systemd's TEMPORARY_DIRECTORIES), and then nobody would know of the lock.

        Raises:
            BlockingIOError: another holds it.
            OSError: there is no such folder, or it is not to be used; `left`, and nobody can tell whether it is held.
        """
        self._descriptor: int | None = None
        self._file: IO[bytes] | None = None
        if sys.platform == "win32":
            self._lock_file(folder, left=left)
            return
        import fcntl

        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise
        except OSError:  # NFS locks only what is open for writing, which a folder cannot be
            self.close()
            self._lock_file(folder, left=left)

    def _lock_file(self, folder: Path, *, left: bool) -> None:
        self._file = (folder / LOCK).open("r+b" if left else "ab")
        try:
            if sys.platform == "win32":
                import msvcrt

                try:
                    msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)
                except OSError as error:
                    raise BlockingIOError(*error.args) from None
            else:
                import fcntl

                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let it go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._file is not None:
            self._file.close()
            self._file = None
