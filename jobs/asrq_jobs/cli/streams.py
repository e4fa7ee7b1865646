"""The three standard streams, which may be closed, full, or of another encoding."""

from __future__ import annotations

import io
import os
import sys


def prepare() -> None:
    """Make all three usable: they write UTF-8 to files and pipes, and any file name at all.

    A stream that our parent has closed is opened on the null device in the wrong direction. So using it fails
    as it should, and no file or connection that is opened later is taken for it.
    """
    if sys.stdin is None:
        sys.stdin = open(_taken(0, os.O_WRONLY), closefd=False)  # noqa: SIM115  # for the life of the process
    if sys.stdout is None:
        sys.stdout = open(_taken(1, os.O_RDONLY), "w", closefd=False)  # noqa: SIM115  # as above
    if sys.stderr is None:
        sys.stderr = open(_taken(2, os.O_WRONLY), "w", closefd=False)  # noqa: SIM115  # as above
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def abandon_stdout() -> None:
    """Let standard output lead nowhere: what is still buffered would fail again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _taken(number: int, flags: int) -> int:
    opened = os.open(os.devnull, flags)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    return number
