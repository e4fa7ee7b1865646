"""Audio on its way into Redis: read, measured and hashed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from asrq_jobs.errors import (
    AudioEmptyError,
    AudioError,
    AudioNotFoundError,
    AudioTooLargeError,
    AudioUnreadableError,
)
from asrq_jobs.request import BlobAudio, PathAudio


def prepare(audio: bytes | Path, name: str | None, *, max_mb: int) -> tuple[bytes, BlobAudio]:
    """Return the bytes to store and how a request names them; `max_mb` is in MiB.

    Raises:
        AudioNotFoundError, AudioUnreadableError, AudioEmptyError, AudioTooLargeError: the file cannot be sent.
    """
    if isinstance(audio, Path):
        name = name or shown_path(audio.name)
        audio = _read_file(audio, max_mb)
    else:
        _check_size(len(audio), name, max_mb)
    return audio, BlobAudio(sha256=hashlib.sha256(audio).hexdigest(), bytes=len(audio), name=name)


def by_path(path: Path) -> PathAudio:
    """Return how a request names a file that the worker reads itself.

    Raises:
        AudioNotFoundError: it cannot.
    """
    try:
        return PathAudio(path=str(path.absolute()))
    except ValidationError:  # its bytes are no UTF-8, or it is too long
        raise AudioNotFoundError(
            f"A request cannot name the path {path}.", hint="Leave --path out: the file itself can be sent."
        ) from None


def shown_path(path: str | Path) -> str:
    """Return a path, or a name, for people: valid Unicode whatever bytes the file system holds."""
    return os.fsencode(path).decode(errors="replace")


def read(stream: BinaryIO, name: str, *, max_mb: int) -> bytes:
    """Return all that a stream has, such as a pipe, whose length nobody knows before.

    Raises:
        AudioUnreadableError, AudioEmptyError, AudioTooLargeError: it cannot be sent.
    """
    try:
        audio = stream.read((max_mb << 20) + 1)
    except OSError as error:
        reason = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise AudioUnreadableError(f"{name} cannot be read: {reason}.", hint="Check what is piped into it.") from None
    _check_size(len(audio), name, max_mb)
    return audio


def _read_file(path: Path, max_mb: int) -> bytes:
    shown = shown_path(path)
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode):
                _check_size(found.st_size, shown, max_mb)  # before it is in memory
            return read(file, shown, max_mb=max_mb)
    except OSError as error:
        raise unreadable(shown, error) from None


def unreadable(name: str, error: OSError, *, here: bool = True) -> AudioError:
    """Return the error for a file that the system does not let us read; `here`: on the machine of who named it."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return AudioNotFoundError(f"There is no file {name}.", hint="Check the path." if here else None)
    if isinstance(error, IsADirectoryError):
        return not_a_file(name)
    readable = "Let this user read it." if here else "Let the worker's user read it, or upload it."
    return AudioUnreadableError(f"{name} cannot be read: {error.strerror}.", hint=readable)


def not_a_file(name: str) -> AudioError:
    """Return the error for a folder or a device."""
    return AudioUnreadableError(f"{name} is not a file.", hint="Name a file, not a folder or device.")


def _check_size(size: int, name: str | None, max_mb: int) -> None:
    if size == 0:
        raise AudioEmptyError(f"{name or 'The audio'} is empty (0 bytes).")
    if size > max_mb * 2**20:
        raise AudioTooLargeError(
            f"{name or 'The audio'} has more than {max_mb} MiB, which is the limit.",
            hint="Send compressed audio (opus, mp3), or a path that the worker can read.",
        )
