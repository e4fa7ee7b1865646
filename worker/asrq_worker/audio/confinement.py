"""Takes from this process what a decoder never needs: sockets, other programs, other processes, any file not yet open.

FFmpeg is C and reads what strangers send. An exploit of it must not reach the network, a shell or the files of the
worker's user. Linux does this for any process that asks, in containers too, in two ways that overlap. seccomp refuses
system calls by number, to all threads. Landlock refuses what would read or change a file by its name, and signals to
other processes, on any machine; it says nothing to threads that run already, and older kernels lack it. The numbers
are from the kernel's headers (asm/unistd.h, linux/audit.h, linux/seccomp.h, linux/bpf_common.h, linux/landlock.h).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from dataclasses import dataclass

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER = 1
_ALL_THREADS = 1  # SECCOMP_FILTER_FLAG_TSYNC
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050001  # with EPERM
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_X32 = 0x40000000  # x86-64 knows every call by a second number, which begins here


@dataclass(frozen=True)
class _Architecture:
    """Its name in filters, the number of seccomp itself, and the numbers of what is refused."""

    architecture: int
    seccomp: int
    refused: tuple[int, ...]


# io_uring_setup, open_tree, openat2, pidfd_getfd: the same everywhere
_NEWER = (425, 428, 437, 438)
# socket, connect, execve, execveat, ptrace, process_vm_readv, process_vm_writev, openat, open_by_handle_at, and on the
# older of the two open, creat
_ARCHITECTURES = {
    "x86_64": _Architecture(0xC000003E, 317, (41, 42, 59, 322, 101, 310, 311, 257, 304, 2, 85, *_NEWER)),
    "aarch64": _Architecture(0xC00000B7, 277, (198, 203, 221, 281, 117, 270, 271, 56, 265, *_NEWER)),
}

_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
# By version: the first to know them, and what is handled from then on: rights to files, to TCP, and scopes.
_HANDLED = (
    (1, 0x1FFF, 0, 0),  # all from executing to making links
    (2, 0x2000, 0, 0),  # LANDLOCK_ACCESS_FS_REFER
    (3, 0x4000, 0, 0),  # LANDLOCK_ACCESS_FS_TRUNCATE
    (4, 0, 0x3, 0),  # LANDLOCK_ACCESS_NET_BIND_TCP, …_CONNECT_TCP
    (5, 0x8000, 0, 0),  # LANDLOCK_ACCESS_FS_IOCTL_DEV
    (6, 0, 0, 0x3),  # LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, …_SIGNAL
)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def confine() -> list[str]:
    """Refuse all that to this process, for good; return what now does: "landlock", "seccomp", or neither."""
    if sys.platform != "linux":
        return []
    libc = ctypes.CDLL(None)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return []
    return [name for name, confined in (("landlock", _landlock(libc)), ("seccomp", _seccomp(libc))) if confined]


def _landlock(libc: ctypes.CDLL) -> bool:
    """Handle all rights and grant none."""
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return False
    handled = _handled(version)
    ruleset = libc.syscall(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0)
    if ruleset < 0:
        return False
    try:
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _handled(version: int) -> bytes:
    """Return struct landlock_ruleset_attr; a kernel that knows only its beginning takes the rest if that is zero."""
    known = [rights for since, *rights in _HANDLED if since <= version]
    return struct.pack("=QQQ", *(sum(column) for column in zip(*known, strict=True)))


def _seccomp(libc: ctypes.CDLL) -> bool:
    machine = _ARCHITECTURES.get(platform.machine())
    if machine is None or sys.maxsize < 2**32:
        return False
    instructions = _filter(machine)
    program = _Program(len(instructions) // 8, instructions)
    return bool(libc.syscall(machine.seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)) == 0)


def _filter(machine: _Architecture) -> bytes:
    """Return the filter in the kernel's form: instructions of operation, two distances to jump, and an operand."""
    end = len(machine.refused) + 1  # from the first comparison of numbers to the refusal
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 0, end + 2, machine.architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, end, 0, _X32),
        *((_IF_EQUAL, end - 1 - at, 0, number) for at, number in enumerate(machine.refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
