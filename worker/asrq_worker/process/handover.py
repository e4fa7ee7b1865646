"""Hands open files to a child process, each time along with a message: what was looked at is what the child reads.

On POSIX they go through a socket that the child is born with (SCM_RIGHTS, unix(7)), in the order of the messages; it
learns its number as an argument. On Windows they are made the child's own (DuplicateHandle), and the message says under
which numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from asrq_worker.process.stdio import Message

if sys.platform == "win32":
    import _winapi
    import msvcrt
    from multiprocessing.reduction import duplicate
else:
    import socket


class Handover:
    """The parent's side, for one child. `inherited` and `arguments` are what the child is to be started with."""

    def __init__(self) -> None:
        self.inherited: tuple[int, ...] = ()
        self.arguments: tuple[str, ...] = ()
        if sys.platform != "win32":
            self._ours, self._theirs = socket.socketpair()
            self.inherited = (self._theirs.fileno(),)
            self.arguments = (str(self._theirs.fileno()),)

    def started(self) -> None:
        """Let go of what is the child's, so that its end can be told."""
        if sys.platform != "win32":
            self._theirs.close()

    def give(self, files: Sequence[int], pid: int) -> Message:
        """Give open files to the child of this process id; return what its message has to hold.

        Raises:
            OSError: it is gone.
        """
        if sys.platform == "win32":
            child = _winapi.OpenProcess(_winapi.PROCESS_DUP_HANDLE, False, pid)
            try:
                return {"files": [duplicate(msvcrt.get_osfhandle(file), child) for file in files]}
            finally:
                _winapi.CloseHandle(child)
        else:  # what the type checker sees of a platform is a branch
            socket.send_fds(self._ours, [b"\0"], files)
            return {}

    def close(self) -> None:
        """Give nothing more."""
        if sys.platform != "win32":
            self._ours.close()
            self._theirs.close()


def taken(message: Message, modes: Sequence[int]) -> list[int]:
    """Return the files that came with a message, one for each of `modes` (those of `os.open`), for the child to close.

    It has to be called for each message that comes with files, in their order.

    Raises:
        OSError: they did not come.
    """
    if sys.platform == "win32":
        return [msvcrt.open_osfhandle(handle, mode) for handle, mode in zip(message["files"], modes, strict=True)]
    else:  # noqa: RET505  # as above
        channel = socket.socket(fileno=int(sys.argv[1]))
        try:
            _, files, _, _ = socket.recv_fds(channel, 1, len(modes))
        finally:
            channel.detach()
        if len(files) != len(modes):
            raise OSError(f"{len(files)} files came instead of {len(modes)}")
        return files
