"""Opens the files that requests name, if they are below certain folders. Each is opened once, and passed on open.

A name says what a file is only at the moment it is followed. So it is followed once: first as people mean it, with its
links, to learn where it leads; then, where that is allowed, part by part and through no link at all (O_NOFOLLOW,
open(2)). A file swapped in between is a link, and is refused.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from asrq_jobs.errors import AudioNotFoundError, PathNotAllowedError
from asrq_jobs.uploads import not_a_file, unreadable

# Neither wait for the writer of a FIFO, nor make a terminal ours.
_FILE = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
# O_PATH asks for no right to list the folder; not every system has it.
_FOLDER = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_DIRECTORY", "O_PATH"))
_BY_PARTS = os.open in os.supports_dir_fd


class Roots:
    """The folders below which files may be read. They may be links themselves, and are followed once, now."""

    def __init__(self, folders: Sequence[Path], *, anywhere: bool = False) -> None:
        """`anywhere` lifts the rule, for a caller who could read the file anyway."""
        self._folders = [folder.resolve() for folder in folders]
        self._anywhere = anywhere

    def open(self, name: str) -> BinaryIO:
        """Return the file of this absolute path, open for reading; its `name` is what the path leads to.

        Raises:
            PathNotAllowedError: it is not absolute, or leads out of the folders.
            AudioNotFoundError: there is no such file.
            AudioUnreadableError: it is no regular file, or may not be read.
        """
        path = self._leads_to(name)
        try:
            descriptor = os.open(path, _FILE) if self._anywhere else _open(path)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise PathNotAllowedError(f"{name} was changed while it was opened.") from None
            raise unreadable(name, error, here=self._anywhere) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise not_a_file(name)
        return open(path, "rb", opener=lambda _path, _flags: descriptor)  # the caller's

    def _leads_to(self, name: str) -> Path:
        path = Path(name)
        if not path.is_absolute():
            raise PathNotAllowedError(f"{name} is not an absolute path.", hint="Name the file from the root on.")
        try:
            # On Windows resolving \\host\share already talks to that host, so the drive is looked at first.
            if self._anywhere or any(folder.drive == path.drive for folder in self._folders):
                path = path.resolve()
                if self._anywhere or any(path.is_relative_to(folder) for folder in self._folders):
                    return path
        except (OSError, RuntimeError, ValueError):  # a loop of links, or no path at all
            check = "Check the path." if self._anywhere else None
            raise AudioNotFoundError(f"{name!r} is not a usable path.", hint=check) from None
        raise PathNotAllowedError(f"{name} is outside the folders that this worker may read.")


def _open(path: Path) -> int:
    """Open the file at this very path, not the target of a link in it."""
    if not _BY_PARTS:
        return _open_and_look(path)
    folder = os.open(path.anchor, _FOLDER)
    try:
        for part in path.parts[1:-1]:
            deeper = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = deeper
        return os.open(path.name or ".", _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def _open_and_look(path: Path) -> int:
    """Windows: open it, and ask what was opened."""
    descriptor = os.open(path, _FILE)
    if not _is_called(path, _name(descriptor)):
        os.close(descriptor)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return descriptor


def _is_called(path: Path, name: str) -> bool:
    r"""Return whether Windows means this path by a name like `\\?\C:\…`, or `\\?\UNC\host\…` for `\\host\…`."""
    if name.upper().startswith("\\\\?\\UNC\\"):
        name = "\\" + name[len("\\\\?\\UNC") :]
    return PureWindowsPath(path) == PureWindowsPath(name.removeprefix("\\\\?\\"))


def _name(descriptor: int) -> str:
    if sys.platform != "win32":
        raise OSError(errno.ENOTSUP, "this system cannot tell what was opened")
    else:  # noqa: RET506  # what the type checker sees of a platform is a branch
        import ctypes
        import msvcrt

        buffer = ctypes.create_unicode_buffer(1 << 15)  # the longest there is
        handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
        if not ctypes.windll.kernel32.GetFinalPathNameByHandleW(handle, buffer, len(buffer), 0):
            raise ctypes.WinError()
        return buffer.value
