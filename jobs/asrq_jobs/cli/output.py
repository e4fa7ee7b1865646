"""Results on their way out: to stdout in input order, or each to a file of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import click

from asrq_jobs import formats
from asrq_jobs.cli import colour, failure
from asrq_jobs.errors import AsrqError, CanceledError, ErrorInfo, UsageError, from_info
from asrq_jobs.formats import Format
from asrq_jobs.result import AudioInfo, Result


@dataclass(frozen=True)
class Form:
    """How results are to be shown; `json_lines` and `form` say what stands on stdout, `folder` where files go."""

    form: Format
    json_lines: bool
    folder: Path | None
    terminal: bool


def choose(form: Format | None, *, as_json: bool, folder: Path | None, stdout: TextIO | None = None) -> Form:
    """Decide the form from the options: JSON lines with `--json`, or without a terminal unless a format is named.

    Raises:
        UsageError: the folder cannot be made.
    """
    terminal = (stdout or sys.stdout).isatty()
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"Cannot make the folder {folder}: {error.strerror}.") from None
    return Form(
        form=form or ("json" if as_json else "txt"),
        json_lines=as_json or (form is None and not terminal),
        folder=folder,
        terminal=terminal,
    )


def failed(job_id: str, error: AsrqError, *, name: str | None = None) -> Result:
    """Return the document of something that ended without one: before a worker saw it, or by a foreign hand."""
    status: Literal["failed", "canceled"] = "canceled" if isinstance(error, CanceledError) else "failed"
    return Result(id=job_id, status=status, audio=AudioInfo(name=name), error=error.info())


def echo_json(value: Any) -> None:
    """Print one JSON value on a line of stdout; bytes that were no UTF-8 are escaped, as JSON can."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    click.echo(text.encode(errors="backslashreplace").decode())


class Printer:
    """Shows results in a form, and remembers whether any of them was a failure."""

    def __init__(self, form: Form, *, several: bool) -> None:
        self._form = form
        self._several = several
        self.any_failed = False

    def show(self, name: str, result: Result) -> None:
        """Print or write one result; `name` is what people call its input: a file name or a job id."""
        form = self._form
        done = result.status == "completed"
        self.any_failed |= not done
        if form.json_lines:
            click.echo(result.to_json())
        elif not done:
            failure.say(_error_of(result), about=name)
        if form.folder and done:
            written = _write(form.folder, Path(name).stem, form.form, result)
            if not form.json_lines:
                click.echo(written)
        elif done and not form.json_lines:
            self._print(name, result)

    def _print(self, name: str, result: Result) -> None:
        form = self._form.form
        if not self._form.terminal and (form == "json" or form == "verbose_json"):  # noqa: PLR1714  # narrows the type
            echo_json(formats.document(result, form))
            return
        if self._form.terminal and self._several:
            click.secho(name, bold=True, color=colour.wanted(sys.stdout))
        click.echo(formats.render(result, form), nl=False)


class InOrder:
    """Gets results in any order and shows them in that of the inputs.

    Each is shown as soon as those before it are there, or with `hold` only when all is over: where bars move on the
    same terminal.
    """

    def __init__(self, printer: Printer, names: Sequence[str], *, hold: bool) -> None:
        self._printer = printer
        self._names = names
        self._hold = hold
        self._ready: dict[int, Result] = {}
        self._next = 0

    def put(self, index: int, result: Result) -> None:
        """Take the result of an input."""
        self._ready[index] = result
        while self._next in self._ready and not self._hold:
            self._printer.show(self._names[self._next], self._ready.pop(self._next))
            self._next += 1

    def flush(self) -> None:
        """Show what is there, although something before it may never have come."""
        for index in sorted(self._ready):
            self._printer.show(self._names[index], self._ready.pop(index))


def _error_of(result: Result) -> AsrqError:
    if result.error:
        return from_info(result.error)
    return from_info(
        ErrorInfo(code=result.status, message=f"The job is {result.status}.", retryable=False, stage="worker")
    )


def _write(folder: Path, stem: str, form: Format, result: Result) -> Path:
    """Write a result to a file that did not exist: what stands there already is never overwritten.

    Raises:
        UsageError: the folder does not take it.
    """
    number = 1
    while True:
        path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{formats.extension(form)}"
        try:
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(formats.render(result, form))
        except FileExistsError:
            number += 1
        except OSError as error:
            raise UsageError(f"Cannot write {path}: {error.strerror}.") from None
        else:
            return path
