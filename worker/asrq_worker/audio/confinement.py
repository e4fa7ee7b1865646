"""Takes from this process what a decoder never needs: sockets, other programs, other processes.

FFmpeg is C and reads what strangers send. What breaks it must not reach the network or a shell. Linux does this for any
process that asks (seccomp), in containers too; the numbers below are from its headers (asm/unistd.h, linux/audit.h,
linux/seccomp.h, linux/bpf_common.h).
"""

from __future__ import annotations

import ctypes
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
class _Machine:
    """Its name in filters, the number of seccomp itself, and the numbers of what is refused."""

    architecture: int
    seccomp: int
    refused: tuple[int, ...]


# socket, connect, execve, execveat, ptrace, process_vm_readv, process_vm_writev, io_uring_setup, pidfd_getfd
_MACHINES = {
    "x86_64": _Machine(0xC000003E, 317, (41, 42, 59, 322, 101, 310, 311, 425, 438)),
    "aarch64": _Machine(0xC00000B7, 277, (198, 203, 221, 281, 117, 270, 271, 425, 438)),
}


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def confine() -> bool:
    """Refuse all that to every thread of this process, for good; False where the system cannot do it."""
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None or sys.maxsize < 2**32:
        return False
    instructions = _filter(machine)
    program = _Program(len(instructions) // 8, instructions)
    libc = ctypes.CDLL(None)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.syscall(machine.seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)) == 0)


def _filter(machine: _Machine) -> bytes:
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
