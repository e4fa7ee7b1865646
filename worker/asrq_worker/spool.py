"""The private folder in which a process keeps audio while it works on it."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from asrq_worker.locking import take

_PREFIX = "asrq-spool-"
_LOCK = "owner.lock"
_GRACE_S = 10.0  # between making its folder and locking it, a living owner looks like a dead one


class Spool:
    """A folder of mode 0700 that lives as long as its owner, and not much longer.

    Its owner holds a lock on a file in it, which the system releases even after SIGKILL; so the next spool in the
    same place knows which ones were left behind, whatever has become of their process ids, and removes them.
    """

    def __init__(self, parent: Path | None = None) -> None:
        """Make the folder under `parent` (default: the system's folder for temporary files).

        Raises:
            OSError: the folder cannot be made.
        """
        parent = parent or Path(tempfile.gettempdir())
        parent.mkdir(parents=True, exist_ok=True)
        for other in parent.glob(f"{_PREFIX}*"):
            _remove_if_left(other)
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
        self._lock = (self.path / _LOCK).open("wb")
        take(self._lock)

    def new_file(self, suffix: str = "") -> Path:
        """Return the path of a file that does not exist yet."""
        return self.path / f"{secrets.token_hex(8)}{suffix}"

    def close(self) -> None:
        """Remove the folder and all that is in it."""
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def discard(path: Path) -> None:
    """Delete a file of a spool. On Windows, one that a child still reads stays until the spool goes."""
    with suppress(OSError):
        path.unlink()


def _remove_if_left(folder: Path) -> None:
    try:
        state = folder.lstat()
        if time.time() - state.st_mtime < _GRACE_S or (sys.platform != "win32" and state.st_uid != os.getuid()):
            return
        with (folder / _LOCK).open("ab") as file:
            take(file)
    except OSError:  # held by a living owner, or gone
        return
    shutil.rmtree(folder, ignore_errors=True)
