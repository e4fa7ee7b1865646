"""`report.jsonl`: what became of each file of an archive, written as it happens, and read by the run that goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from asrq_jobs.cli import files
from asrq_jobs.cli.archive.folders import Folder
from asrq_jobs.errors import ErrorInfo


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
    """The report in the folder of the transcripts. Several runs may write it: each sees what the others have added.

    Every method raises OutputError if the folder does not give, or take, what is needed.
    """

    def __init__(self, folder: Folder) -> None:
        """Read what former runs have written; a line that a crash cut off is none."""
        self._folder = folder
        self._lines: dict[tuple[str, str], Line] = {}
        self._owners: dict[str, Line] = {}
        self._read(folder.news())

    @property
    def last(self) -> tuple[str, ...]:
        """The job of the file that was done with last, in all formats; none if there is none."""
        line = next(reversed(self._lines.values()), None)
        if line is None or line.id is None:
            return ()
        return (
            () if any(each.status == "queued" and each.id == line.id for each in self._lines.values()) else (line.id,)
        )

    def get(self, source: str, form: str) -> Line | None:
        """Return what is known of a file in a format."""
        self._read(self._folder.news())
        return self._lines.get((source, form))

    def owner(self, output: str) -> Line | None:
        """Return the file that this path in the folder belongs to; some file systems tell no upper from lower case."""
        return self._owners.get(output.casefold())

    def add(self, line: Line) -> None:
        """Note what has become of a file."""
        self._know(line)
        self._folder.add(_encoded(line))

    def finish(self) -> None:
        """Leave one line for each file and format, the newest last."""
        self._lines.clear()
        self._owners.clear()
        self._read(self._folder.everything())
        self._folder.tidy(b"".join(map(_encoded, self._lines.values())))

    def _read(self, lines: Iterator[bytes]) -> None:
        for raw in lines:
            with suppress(ValidationError):
                self._know(Line.model_validate_json(raw))

    def _know(self, line: Line) -> None:
        self._lines.pop((line.source, line.form), None)  # the newest comes last
        self._lines[line.source, line.form] = line
        if line.output:
            before = self._owners.get(line.output.casefold())
            if before and (before.source, before.form) != (line.source, line.form):  # in its place, in another form
                self._lines.pop((before.source, before.form), None)
            self._owners[line.output.casefold()] = line


def _encoded(line: Line) -> bytes:
    document = line.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def free_output(report: Report, folder: Folder, name: str, extension: str) -> str:
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
        if not folder.has(output) and (owner is None or owner.source == name):
            return output
        if owner is not None and owner.source == name and _is_as_written(folder, output, owner):
            return output


def _is_as_written(folder: Folder, output: str, line: Line) -> bool:
    return (found := folder.digest(output)) is not None and line.sha256 in {None, found}


def digest(text: str) -> str:
    """Return what tells a transcript, as folders hold it, from what somebody has made of it."""
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()
