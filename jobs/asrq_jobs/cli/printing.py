"""The one way from `asrq` to a terminal or a pipe, so that no text of strangers gets there raw.

Lines for people pass `display`. Transcripts do so on a terminal, and are exact in a pipe or file. JSON is exact, with
JSON's own escapes. Nothing else in the program writes to standard output or standard error.
"""

from __future__ import annotations

import errno
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from asrq_jobs.cli import colour, streams
from asrq_jobs.display import json_text, visible, visible_lines
from asrq_jobs.errors import OutputError

if TYPE_CHECKING:
    from rich.console import Console


_BETWEEN = "  "
_LEAST = 20  # columns of the last cell of a table that are worth having


@dataclass(frozen=True)
class Styled:
    """A part of a line that is coloured where colour is wanted."""

    text: str
    fg: str | None = None
    bold: bool = False
    dim: bool = False


def say(*parts: str | Styled, err: bool = False) -> None:
    """Print one line for people; line breaks in its parts are shown as escapes.

    Raises:
        OutputError: standard output cannot be written to. Errors of standard error are ignored.
    """
    _write("".join(map(_styled, parts)) + "\n", err=err, color=colour.wanted(sys.stderr if err else sys.stdout))


def redraw(*parts: Styled) -> None:
    """Show one line on the terminal of standard error in the place of the one shown so before; nothing: no line.

    Of what is wider than the terminal its end is shown. Anything else that is printed needs this to be gone first.
    """
    from rich.cells import cell_len

    room, shown = shutil.get_terminal_size().columns - 1, []
    for part in reversed(parts):
        text = visible(part.text)[-room:] if room > 0 else ""
        while cell_len(text) > room:
            text = text[1:]
        room -= cell_len(text)
        shown.append(replace(part, text=text))
    line = "".join(_styled(part) for part in reversed(shown))
    _write(f"\r{line}\x1b[K", err=True, color=True)


def say_lines(text: str, *, err: bool = False) -> None:
    """Print lines for people that are ours; raises as `say`."""
    _write(visible_lines(text), err=err, color=False)


def give(text: str) -> None:
    """Print a transcript: exactly, unless somebody reads it from a terminal; raises as `say`."""
    # color: True, or click would take out of a pipe what looks like an escape sequence.
    _write(visible_lines(text) if sys.stdout.isatty() else text, err=False, color=True)


def give_json(value: Any, *, indent: int | None = None) -> None:
    """Print a JSON value, on one line unless it is indented; raises as `say`."""
    _write(json_text(value, indent=indent) + "\n", err=False, color=True)


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    bold: Callable[[Sequence[str]], bool] = lambda _row: False,
    dispensable: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Print rows: without a terminal with tabs between the cells, which keep to one line each; raises as `say`.

    On a terminal the last column takes what room is left, and is cut there. Where that is too little, columns are left
    out: those that are `dispensable`, the first of them first. `bold` says which rows are bold. `notes` are the
    beginnings of the last cells that must not be lost: each gets a line of its own where there is no room for it.
    """
    if not sys.stdout.isatty():
        for row in rows:
            _write("\t".join(map(visible, row)) + "\n", err=False, color=False)
        return
    from rich.cells import cell_len, set_cell_size

    shown = [[visible(cell) for cell in row] for row in rows]
    if not shown:
        return
    widths = [max(map(cell_len, column)) for column in zip(head, *shown, strict=True)]
    kept = _kept(head, widths, dispensable, shutil.get_terminal_size().columns)
    room = shutil.get_terminal_size().columns - sum(widths[at] + len(_BETWEEN) for at in kept[:-1])
    kept_notes = map(visible, notes or [""] * len(shown))
    lines = zip(shown, map(bold, shown), kept_notes, strict=True)
    for row, heavy, note in [(list(head), True, ""), *lines]:
        cells = [set_cell_size(row[at], widths[at]) for at in kept[:-1]]
        last = row[kept[-1]]
        cut = f"{set_cell_size(last, room - 1)}…" if cell_len(last) > room >= _LEAST else last
        say(Styled(_BETWEEN.join([*cells, cut]).rstrip(), bold=heavy))
        if note and (kept[-1] < len(row) - 1 or (cut != last and cell_len(note) >= room)):
            say(_BETWEEN + note)


def _kept(head: Sequence[str], widths: Sequence[int], dispensable: Sequence[str], room: int) -> list[int]:
    """Return the columns that a terminal has room for."""
    kept = list(range(len(head)))
    for name in dispensable:
        last = min(widths[kept[-1]], _LEAST)
        if sum(widths[at] + len(_BETWEEN) for at in kept[:-1]) + last <= room:
            break
        kept.remove(head.index(name))
    return kept


def console(*, err: bool = False) -> Console:
    """Return what draws tables and bars; strings in it are no markup and no emoji codes, but must be `visible`."""
    from rich.console import Console

    return Console(stderr=err, markup=False, emoji=False, highlight=False)


def cannot_write(error: OSError) -> OutputError:
    """Return our error for one of standard output, which is given up."""
    streams.abandon_stdout()
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror
    return OutputError(f"Cannot write to standard output: {reason}.")


def was_printing(error: OSError) -> bool:
    """Whether an error came from standard output: click prints help, the version and completion by itself."""
    return any(frame.f_code is click.echo.__code__ for frame, _ in traceback.walk_tb(error.__traceback__))


def _styled(part: str | Styled) -> str:
    if isinstance(part, str):
        return visible(part)
    return click.style(visible(part.text), fg=part.fg, bold=part.bold or None, dim=part.dim or None)


def _write(text: str, *, err: bool, color: bool) -> None:
    try:
        click.echo(text, nl=False, err=err, color=color)
    except BrokenPipeError:
        if not err:
            raise
    except OSError as error:
        if not err:
            raise cannot_write(error) from None
