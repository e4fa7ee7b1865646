"""What is said of a folder that a program has to write to and cannot."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from asrq_jobs.errors import StorageError

# What the system says of a folder that would do if it were not full, or were ours: the beginning of a hint.
REASONS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Make room there, or "),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Let this user write there, or "),
}


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


def temporary() -> Path:
    """Return the system's folder for temporary files.

    Raises:
        StorageError: this user can write to none.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise StorageError(
            "There is no folder for temporary files that this user can write to.", hint="Set TMPDIR to one."
        ) from None
