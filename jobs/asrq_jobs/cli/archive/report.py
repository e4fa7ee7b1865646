"""`report.jsonl`: what became of each file of an archive, written as it happens, and read by the run that goes on."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from asrq_jobs.cli import files
from asrq_jobs.errors import ErrorInfo, OutputError

NAME = "report.jsonl"


class Line(BaseModel):
    """One file in one format: of several lines that name both the last counts.

    `id` stands for its content and options, `form` for the format and how subtitles are cut: where both are the same,
    so is the transcript. No id: it could not be sent. `queued`: it was sent, and no run has seen its end.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: str
    status: Literal["queued", "completed", "failed", "canceled"]
    id: str | None
    output: str | None = None
    sha256: str | None = None
    form: str
    language: str | None = None
    duration: float | None = None
    warnings: tuple[str, ...] = ()
    error: ErrorInfo | None = None


class Report:
    """The report in the folder of the transcripts. Several runs may write it: each sees what the others have added."""

    def __init__(self, folder: Path) -> None:
        """Read what former runs have written; a line that a crash cut off is none.

        Raises:
            OutputError: it cannot be read or written.
        """
        self.path = folder / NAME
        self._lines: dict[tuple[str, str], Line] = {}
        self._owners: dict[str, Line] = {}
        self._read_of: int | None = None  # the inode of what was read…
        self._read_to = 0  # …up to this byte
        try:
            with self.path.open("ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    file.write(b"" if file.read() == b"\n" else b"\n")
        except OSError as error:
            raise self._cannot(error) from None
        self._read()

    @property
    def last(self) -> tuple[str, ...]:
        """The job of the file that was done with last; none if there is none."""
        line = next(reversed(self._lines.values()), None)
        return (line.id,) if line and line.id and line.status != "queued" else ()

    def get(self, source: str, form: str) -> Line | None:
        """Return what is known of a file in a format.

        Raises:
            OutputError: the report cannot be read any more.
        """
        self._read()
        return self._lines.get((source, form))

    def owner(self, output: str) -> Line | None:
        """Return the file that this path in the folder belongs to; some file systems tell no upper from lower case."""
        return self._owners.get(output.casefold())

    def add(self, line: Line) -> None:
        """Note what has become of a file.

        Raises:
            OutputError: the folder does not take it.
        """
        self._know(line)
        try:
            with self.path.open(
                "ab", buffering=0
            ) as file:  # each time: another run may have put a tidied one in its place
                file.write(_encoded(line))
        except OSError as error:
            raise self._cannot(error) from None

    def finish(self) -> None:
        """Leave one line for each file and format, the newest last.

        Raises:
            OutputError: the folder does not take it.
        """
        self._read()
        files.put(self.path, b"".join(map(_encoded, self._lines.values())).decode())

    def _read(self) -> None:
        try:
            with self.path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._read_of:
                    self._read_of, self._read_to = inode, 0
                file.seek(self._read_to)
                for raw in file:
                    if not raw.endswith(b"\n"):  # it is being written
                        break
                    self._read_to += len(raw)
                    with suppress(ValidationError):
                        self._know(Line.model_validate_json(raw))
        except OSError as error:
            raise self._cannot(error) from None

    def _know(self, line: Line) -> None:
        self._lines.pop((line.source, line.form), None)  # the newest comes last
        self._lines[line.source, line.form] = line
        if line.output:
            before = self._owners.get(line.output.casefold())
            if before and (before.source, before.form) != (line.source, line.form):  # in its place, in another form
                self._lines.pop((before.source, before.form), None)
            self._owners[line.output.casefold()] = line

    def _cannot(self, error: OSError) -> OutputError:
        return OutputError(f"Cannot use {self.path}: {error.strerror}.", hint="Make room, or name another --output.")


def _encoded(line: Line) -> bytes:
    document = line.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def free_output(report: Report, folder: Path, name: str, extension: str) -> str:
    """Return where a file's transcript goes: a path in the folder, with slashes, that belongs to no other file.

    That is the name with its ending replaced; where this is taken, by another file's transcript, by what was there
    before, or by what somebody has made of the transcript, the whole name with one more ending, then with a number.
    """
    parent, _, bare = name.rpartition("/")
    place = f"{parent}/" if parent else ""
    number = 0
    while True:
        number += 1
        stem = files.stem(bare) if number == 1 else bare
        output = place + files.numbered(stem, max(1, number - 1), extension)
        owner = report.owner(output)
        if not os.path.lexists(folder / output) and (owner is None or owner.source == name):
            return output
        if owner is not None and owner.source == name and _is_as_written(folder / output, owner):
            return output


def _is_as_written(path: Path, line: Line) -> bool:
    try:
        return line.sha256 in {None, hashlib.sha256(path.read_bytes()).hexdigest()}
    except OSError:
        return False


def digest(text: str) -> str:
    """Return what tells a transcript, as `files.put` writes it, from what somebody has made of it."""
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()
