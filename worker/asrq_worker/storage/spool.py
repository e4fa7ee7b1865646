"""The private folder in which a process keeps audio while it works on it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from asrq_jobs.errors import NoRoomError, StorageError
from asrq_worker.process.locking import LOCK, Hold
from asrq_worker.storage.disk import placed, temporary, writing
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.spool")

_PREFIX = "asrq-spool-"
_BLOCK = 1 << 16  # bytes
_GRACE_S = 10.0  # between making its folder and locking it, a living owner looks like a dead one


class Spool:
    """A folder of mode 0700 that lives as long as its owner, and not much longer. Thread-safe.

    Its owner holds a lock on it, which the system releases even after SIGKILL; so the next spool in the same place
    knows which ones were left behind, even if their process ids are in use again, and removes them. One that somebody
    removes under its owner is made again.
    """

    def __init__(self, parent: Path | None = None) -> None:
        """Make the folder under `parent` (default: the system's folder for temporary files), now if it can be made."""
        self._parent = parent
        self._lock = threading.Lock()
        self._held: tuple[Path, Hold] | None = None
        self._closed = False
        with suppress(OSError, StorageError):  # the next user of it gets the error
            self._folder()

    @property
    def path(self) -> Path:
        """The folder.

        Raises:
            StorageError, NoRoomError: it cannot be made.
        """
        with writing():
            return self._folder()

    def new_file(self, suffix: str = "") -> Path:
        """Return the path of a file that does not exist yet.

        Raises:
            StorageError, NoRoomError: the folder is gone and cannot be made again.
        """
        return self.path / f"{secrets.token_hex(8)}{suffix}"

    def check(self, room: int) -> None:
        """Write a file of so many bytes, or half of what a small file system holds, and remove it.

        Raises:
            StorageError, NoRoomError: it cannot be written.
        """
        probe = self.new_file(".probe")
        try:
            _check_room(probe, room)
        finally:
            discard(probe)

    def usage(self) -> tuple[int, int]:
        """Return how many bytes are kept here now, and how many more the file system has room for."""
        try:
            kept = sum(path.stat().st_size for path in self.path.iterdir() if path.name != LOCK)
            return kept, shutil.disk_usage(self.path).free
        except (OSError, StorageError, NoRoomError):
            return 0, 0

    def close(self) -> None:
        """Remove the folder and all that is in it."""
        with self._lock:
            self._closed = True
            if self._held is not None:
                path, hold = self._held
                hold.close()
                shutil.rmtree(path, ignore_errors=True)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _folder(self) -> Path:
        with self._lock:
            if self._held is not None:
                path, hold = self._held
                if path.is_dir():
                    return path
                if self._closed:
                    raise FileNotFoundError(errno.ENOENT, "it is closed")
                _log.warning("spool.removed")
                hold.close()
                self._held = None
            parent = placed(self._parent, setting="ASRQ_SPOOL_DIR") if self._parent else temporary()
            parent.mkdir(parents=True, exist_ok=True)
            for other in parent.glob(f"{_PREFIX}*"):
                _remove_if_left(other)
            path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
            self._held = path, Hold(path)
            return path


def discard(path: Path) -> None:
    """Delete a file of a spool. On Windows, one that a child still reads stays until the spool goes."""
    with suppress(OSError):
        path.unlink()


def _check_room(file: Path, room: int) -> None:
    """Write a new file of so many bytes, or of half of what its file system can hold if that is less.

    Raises:
        StorageError, NoRoomError: it cannot be written.
    """
    with writing():
        usage = shutil.disk_usage(file.parent)
        size = min(room, usage.total // 2) if usage.total else room
        if usage.total and usage.free < size:  # without filling the disk for others
            raise NoRoomError(f"{file.parent} has room for {_mb(usage.free)} MB; {_mb(size)} MB are wanted.")
        with file.open("xb", buffering=0) as out:
            _fill(out.fileno(), size)


def _fill(descriptor: int, size: int) -> None:
    if size > _BLOCK and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    left = size
    while left > 0:
        left -= os.write(descriptor, bytes(min(left, _BLOCK)))


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f}"


def _remove_if_left(folder: Path) -> None:
    try:
        state = folder.lstat()
        if time.time() - state.st_mtime < _GRACE_S or (sys.platform != "win32" and state.st_uid != os.getuid()):
            return
        hold = Hold(folder, left=True)
    except OSError:  # held by a living owner, or perhaps so, or gone
        return
    hold.close()  # first: Windows removes no file that is open
    shutil.rmtree(folder, ignore_errors=True)
