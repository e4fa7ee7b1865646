"""What an embedded server says before it ends is told with what helps; real damage is tried with a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrq_jobs.errors import AsrqError, InUseError, QueueUnreachableError, StorageError
from asrq_worker.embedded.failure import explain

LOG = """\
15612:M 28 Nov 2026 21:33:13.648 # WARNING Memory overcommit must be enabled! See sysctl.conf: or reboot.
15612:M 28 Nov 2026 21:33:13.648 * Server initialized
15612:M 28 Nov 2026 21:33:13.648 # {}
"""


def told(last: str, code: int = 1, *, passing: bool = False) -> AsrqError:
    return explain(
        LOG.format(last), code, data=Path("/data"), passing=passing, port=81, binary=Path("/bin/valkey-server")
    )


@pytest.mark.parametrize(
    ("last", "kind", "says", "helps"),
    [
        (
            "Warning: Could not create server TCP listening socket 127.0.0.1:81: bind: Permission denied",
            InUseError, "cannot listen on port 81: Permission denied.", "--port",
        ),
        (
            "Warning: Could not create server TCP listening socket 127.0.0.1:81: bind: Address already in use",
            InUseError, "cannot listen on port 81: Address already in use.", "--port",
        ),
        (
            "Can't open or create append-only dir appendonlydir: Read-only file system",
            StorageError, "kept in /data/appendonlydir: Read-only file system.", "Let this user write there, or",
        ),
        (
            "Fatal error: can't open the append log file appendonly.aof.2.incr.aof for reading: Permission denied",
            StorageError, "/data/appendonlydir/appendonly.aof.2.incr.aof: Permission denied.", "Let this user",
        ),
        (
            "Write error writing append only file on disk: No space left on device",
            StorageError, "cannot be kept in /data: No space left on device.", "Make room there, or name another",
        ),
        ("Out Of Memory allocating 1000 bytes!", QueueUnreachableError, "Memory allocating 1000 bytes.", "memory"),
        (
            "Can't open or create append-only dir appendonlydir: Not a directory",
            StorageError, "cannot be kept in /data/appendonlydir: Not a directory.", "Name another folder with --data.",
        ),
        ("Something new", QueueUnreachableError, "ended with exit code 1: Something new", "/data/valkey.log"),
    ],
)  # fmt: skip
def test_the_last_words(last: str, kind: type[AsrqError], says: str, helps: str) -> None:
    error = told(last)
    assert type(error) is kind
    assert says in error.message
    assert helps in (error.hint or "")


def test_a_temporary_folder_is_chosen_otherwise() -> None:
    error = told("Write error writing append only file on disk: No space left on device", passing=True)
    assert error.hint == "Make room there, or set TMPDIR to another folder."


def test_one_that_says_nothing() -> None:
    error = explain("", -9, data=Path("/data"), passing=False, port=81, binary=Path("/bin/valkey-server"))
    assert "signal SIGKILL" in error.message
