"""Errors for a folder that cannot be written to, and for audio that cannot be kept there."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from asrq_jobs.errors import NoRoomError, StorageError

# What the system says of a folder that would do if it were not full, or were ours: the beginning of a hint.
REASONS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Make room there, or "),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Let this user write there, or "),
}

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def refused(folder: Path, error: OSError, *, what: str, instead: str) -> StorageError:
    """Return the error for a folder that the system does not let us use.

    Args:
        folder: the one that was to be used.
        error: what the system said.
        what: what is kept there, as the beginning of a sentence.
        instead: how another folder is chosen, as the end of one.
    """
    hint = f"{REASONS.get(error.errno or 0, '')}{instead}."
    return StorageError(
        f"{what} cannot be kept in {folder}: {error.strerror or error}.", hint=hint[:1].upper() + hint[1:]
    )


@contextmanager
def reading(folder: Path, *, what: str, instead: str) -> Iterator[None]:
    """Turn the system's error for looking into a folder into ours; the arguments are those of `refused`.

    Raises:
        StorageError: this user cannot see what is there.
    """
    try:
        yield
    except OSError as error:
        hint = f"Let this user read it, or {instead}."
        raise StorageError(f"{what} cannot be read in {folder}: {error.strerror or error}.", hint=hint) from None


def has_place(folder: Path) -> bool:
    """Whether a folder that settings name is anywhere: where a user has no home, `~` still begins it."""
    return not folder.parts or not folder.parts[0].startswith("~")


def placed(folder: Path, *, setting: str) -> Path:
    """Return a folder that settings name.

    Raises:
        StorageError: it is one of the user's home, and there is none.
    """
    if not has_place(folder):
        raise StorageError(
            f"There is no folder {folder}: this user has no home.", hint=f"Set {setting} to a folder that it can use."
        )
    return folder


def temporary() -> Path:
    """Return the system's folder for temporary files.

    Raises:
        StorageError: this user can write to none.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise StorageError(
            "There is no folder for temporary files that this user can write to.",
            hint="Set TMPDIR to one, or, for audio, ASRQ_SPOOL_DIR.",
        ) from None


def refusal(error: OSError) -> StorageError | NoRoomError:
    """Return our error for the system's error at writing, or at reading what was written."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return NoRoomError(f"There is no room for the audio: {reason}.")
    return StorageError(f"Audio cannot be kept while it is worked on: {reason}.")


@contextmanager
def writing() -> Iterator[None]:
    """Turn the system's errors at writing into ours.

    Raises:
        NoRoomError: there is no room left: on the disk, for this user, or for so large a file.
        StorageError: the place is gone, read-only, forbidden or broken.
    """
    try:
        yield
    except OSError as error:
        raise refusal(error) from None


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write to an unbuffered file, which may take less than it is given: the last bytes that fit.

    Raises:
        OSError: the rest does not fit.
    """
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
