"""Files that transcripts are written to: whole or not at all, and never over what somebody else has put there."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from asrq_jobs.errors import OutputError, UsageError

_LONGEST_NAME = 255  # bytes; what file systems have in common


def prepare(folder: Path) -> None:
    """Make a folder, and see that files can be made in it: before anything is transcribed for it.

    Raises:
        UsageError: it cannot be made, or takes no files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = _unfinished(folder)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"Cannot write into the folder {folder}: {error.strerror}.", hint="Name another one with --output."
        ) from None


def stem(name: str) -> str:
    """Return what a file for the transcript of an input is called, without its ending; the name may be anybody's."""
    bare = PurePath(PurePath(name.replace("\0", "")).name).stem
    return bare if bare not in {"", ".."} else "transcript"


def numbers(stems: Sequence[str], extension: str, *, there: Callable[[str], bool]) -> list[int]:
    """Return the number that the file of each is to have, so that names depend on nothing but the order of the inputs.

    1 stands for none. `there` says which names are taken from the beginning.
    """
    found: list[int] = []
    taken: set[str] = set()
    last: dict[str, int] = {}
    for stem in stems:
        number = last.get(stem, 0) + 1
        while (name := numbered(stem, number, extension)) in taken or there(name):
            number += 1
        taken.add(name)
        last[stem] = number
        found.append(number)
    return found


def numbered(stem: str, number: int, extension: str) -> str:
    """Return a file name, shortened if need be."""
    return fitting(stem, extension if number == 1 else f"-{number}{extension}")


def write(folder: Path, stem: str, extension: str, text: str, *, number: int = 1) -> Path:
    """Write a file under a name that was free, with this number or a higher one; it appears with all that it holds.

    Raises:
        OutputError: the folder does not take it.
    """
    unfinished = _unfinished(folder)
    path = folder / numbered(stem, number, extension)
    try:
        try:
            with unfinished.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(text)
            while not _placed(unfinished, path):
                number += 1
                path = folder / numbered(stem, number, extension)
        finally:
            with suppress(OSError):
                unfinished.unlink()
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror}.", hint="Make room, or name another folder with --output."
        ) from None
    return path


def put(path: Path, text: str) -> None:
    """Write a file that is ours, in the place of what it held before.

    Raises:
        OutputError: the folder cannot be made, or does not take it.
    """
    unfinished = _unfinished(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(text)
            unfinished.replace(path)
        finally:
            with suppress(OSError):
                unfinished.unlink()
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror}.", hint="Make room, or name another folder with --output."
        ) from None


def _placed(unfinished: Path, path: Path) -> bool:
    """Give a finished file its name, unless something has it already."""
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        return False
    except OSError:  # as a rule, because file systems such as a memory card's have no links
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return False
        try:
            unfinished.replace(path)
        except OSError:
            path.unlink()
            raise
    return True


def _unfinished(folder: Path) -> Path:
    return folder / f".asrq-{uuid.uuid4().hex}.part"


def fitting(stem: str, ending: str) -> str:
    """Return a file name, its stem cut to what file systems take; on disk it is UTF-8, whatever the locale."""
    room = _LONGEST_NAME - len(_encoded(ending))
    while len(_encoded(stem)) > room:
        stem = stem[:-1]
    return os.fsdecode(_encoded(stem + ending))


def _encoded(name: str) -> bytes:
    return name.encode(errors=sys.getfilesystemencodeerrors())
