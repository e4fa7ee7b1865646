"""Results on their way out: to stdout in the order of the inputs, or each to a file as soon as it is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from asrq_jobs import formats
from asrq_jobs.cli import failure, files, printing
from asrq_jobs.cli.printing import Styled
from asrq_jobs.errors import AsrqError, CanceledError, ErrorInfo, OutputError, UsageError, from_info
from asrq_jobs.formats import SUBTITLES, Format
from asrq_jobs.result import AudioInfo, Result
from asrq_jobs.subtitles import NORMS, Norms

# Formats of which two in a row are neither one file nor two.
_ALONE = frozenset({"srt", "vtt", "tsv"})


@dataclass(frozen=True)
class Form:
    """How results are shown: whether as JSON lines or in a format on stdout, and in which folder as files, if in any.

    `several` says that there is more than one, `terminal` that they go to a terminal.
    """

    form: Format
    json_lines: bool
    folder: Path | None
    several: bool
    terminal: bool
    norms: Norms = NORMS


def choose(
    form: Format | None,
    *,
    as_json: bool,
    folder: Path | None,
    several: bool,
    norms: Norms = NORMS,
    stdout: TextIO | None = None,
) -> Form:
    """Decide from the options: plain text, unless `--json` or `--format` asks for something else.

    Raises:
        UsageError: several subtitles cannot share stdout, nor can JSON and another format; norms are for something else
            than subtitles, or the folder cannot be made or written to.
    """
    if as_json and folder is None and form not in {None, "json"}:
        raise UsageError(
            f"With --json, standard output is JSON, and there is nothing that would be {form}.",
            hint="Leave --json out, or add --output DIR: the files there have the format.",
        )
    if norms != NORMS and form not in SUBTITLES:
        raise UsageError(
            "How lines are to be broken and shown is said of subtitles only.",
            hint=f"Add --format {' or --format '.join(SUBTITLES)}.",
        )
    if several and folder is None and form in _ALONE and not as_json:
        raise UsageError(
            f"Several transcripts as {form} cannot share standard output.",
            hint="Write each to a file with --output DIR, or take one at a time.",
        )
    if folder is not None:
        files.prepare(folder)
    return Form(
        form=form or ("json" if as_json else "txt"),
        json_lines=as_json,
        folder=folder,
        several=several,
        terminal=(stdout or sys.stdout).isatty(),
        norms=norms,
    )


def failed(job_id: str, error: AsrqError, *, name: str | None = None) -> Result:
    """Return a document for a job that ended without one: before a worker saw it, or by another tool."""
    status: Literal["failed", "canceled"] = "canceled" if isinstance(error, CanceledError) else "failed"
    return Result(id=job_id, status=status, audio=AudioInfo(name=name), error=error.info())


@dataclass(frozen=True)
class _Ended:
    result: Result
    written: Path | OutputError | None


class ResultWriter:
    """Takes results in any order. A file is written at once; output on stdout keeps the order of the inputs.

    It is printed as soon as all before it has come, or with `hold` only at the end, if bars move on the same
    terminal. `taken` counts results; `any_failed` says whether one was a failure, or could not be written.
    """

    def __init__(self, form: Form, names: Sequence[str], *, by_id: bool = False, hold: bool = False) -> None:
        """`names` is what people call the inputs: file names or, with `by_id`, the ids of jobs.

        Of several files with one name each has a number by the order of the inputs; by that of their ends with `by_id`,
        where nobody knows the names before.
        """
        self._form = form
        self._names = names
        self._by_id = by_id
        self._expected = self._numbers = [1] * len(names)
        if form.folder is not None and not by_id:
            folder, stems, extension = form.folder, [files.stem(name) for name in names], formats.extension(form.form)
            self._expected = files.numbers(stems, extension, there=lambda _name: False)
            self._numbers = files.numbers(stems, extension, there=lambda name: os.path.lexists(folder / name))
        self._written: set[str] = set()
        self._hold = hold
        self._ready: dict[int, _Ended] = {}
        self._next = 0
        self._given = 0
        self.taken = 0
        self.any_failed = False

    def put(self, index: int, result: Result) -> None:
        """Take the result of an input."""
        self.taken += 1
        self._ready[index] = _Ended(result, self._write(index, result))
        while self._next in self._ready and not self._hold:
            self._show(self._next)
            self._next += 1

    def flush(self) -> None:
        """Show what is there, although something before it may never have come."""
        for index in sorted(self._ready):
            self._show(index)

    def _write(self, index: int, result: Result) -> Path | OutputError | None:
        form = self._form
        if form.folder is None or result.status != "completed":
            return None
        try:
            return files.write(
                form.folder,
                self._stem(index, result),
                formats.extension(form.form),
                formats.render(result, form.form, form.norms),
                number=self._numbers[index],
            )
        except OutputError as error:
            return error

    def _stem(self, index: int, result: Result) -> str:
        named = self._by_id and result.audio is not None and result.audio.name
        return files.stem(named or self._names[index])

    def _tell_of_file(self, index: int, ended: _Ended, path: Path) -> None:
        """Print where a transcript is, and say so if its name is another one because of what was there before."""
        if not self._form.json_lines:
            printing.say(str(path))
        stem, extension = self._stem(index, ended.result), formats.extension(self._form.form)
        expected = files.numbered(stem, self._expected[index], extension)
        if path.name != expected and expected not in self._written:
            failure.note(f"{expected} was there before and is kept: the new transcript is {path.name}.")
        self._written.add(path.name)

    def _show(self, index: int) -> None:
        ended, name, form = self._ready.pop(index), self._names[index], self._form
        result, written = ended.result, ended.written
        if form.json_lines:
            printing.give_json(result.document())
        if result.status != "completed":
            self.any_failed = True
            failure.say(error_of(result), about=name)
            return
        for code in result.warnings:
            failure.warn(code, about=name)
        if isinstance(written, OutputError):
            self.any_failed = True
            failure.say(written, about=name)
        elif written is not None:
            self._tell_of_file(index, ended, written)
        elif not form.json_lines:
            self._give(name, result)

    def _give(self, name: str, result: Result) -> None:
        form = self._form.form
        if form == "json" or form == "verbose_json":  # noqa: PLR1714  # narrows the type
            printing.give_json(formats.document(result, form), indent=2 if self._form.terminal else None)
            return
        if self._form.several:
            if self._given:
                printing.say()
            printing.say(Styled(f"==> {name} <==", bold=True))
        self._given += 1
        printing.give(formats.render(result, form, self._form.norms))


def error_of(result: Result) -> AsrqError:
    """Return why a job has not completed."""
    if result.error:
        return from_info(result.error)
    return from_info(
        ErrorInfo(code=result.status, message=f"The job is {result.status}.", retryable=False, stage="worker")
    )
