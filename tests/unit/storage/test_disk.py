"""What is said of audio that cannot be kept."""

from __future__ import annotations

import errno
import io
import os

import pytest

from asrq_jobs.errors import NoRoomError, StorageError
from asrq_worker.storage.disk import refusal, write_all, writing


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoRoomError),
        (errno.EDQUOT, NoRoomError),
        (errno.EFBIG, NoRoomError),
        (errno.EROFS, StorageError),
        (errno.ENOENT, StorageError),
        (errno.EACCES, StorageError),
        (errno.EIO, StorageError),
        (errno.EMFILE, StorageError),
    ],
)
def test_each_refusal_has_its_kind_and_the_reason(number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=os.strerror(number)) as raised, writing():
        raise OSError(number, os.strerror(number))
    assert "Traceback" not in str(raised.value)
    assert type(refusal(OSError("without a number"))) is StorageError


def test_the_last_bytes_that_fit_are_not_taken_for_all() -> None:
    class Full(io.RawIOBase):
        room = 5

        def write(self, data: memoryview) -> int:  # type: ignore[override]  # as a raw file has it
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken, self.room = min(len(data), self.room), 0
            return taken

    with pytest.raises(OSError, match="No space"):
        write_all(Full(), b"eight by")
