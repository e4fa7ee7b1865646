"""How `asrq` fails: one sentence with a code and a hint, and an exit code that scripts can rely on."""

from __future__ import annotations

import os
import traceback
from contextlib import suppress

import click

from asrq_jobs import result_warnings
from asrq_jobs.cli import exit_codes, printing
from asrq_jobs.cli.printing import Styled
from asrq_jobs.errors import (
    AsrqError,
    InternalError,
    OutputError,
    QueueAuthError,
    QueueRefusedError,
    QueueUnreachableError,
    QueueUnusableError,
    RequestError,
    SettingsError,
    UsageError,
    WaitTimeoutError,
)


def exit_code(error: AsrqError) -> int:
    """Return the exit code for an error that ends a command."""
    if isinstance(error, RequestError | SettingsError):
        return exit_codes.USAGE
    if isinstance(error, QueueUnreachableError | QueueAuthError | QueueRefusedError | QueueUnusableError):
        return exit_codes.QUEUE
    return exit_codes.TIMED_OUT if isinstance(error, WaitTimeoutError) else exit_codes.FAILED


def concerns_all(error: AsrqError) -> bool:
    """Whether an error met at one source or job would be met at every other, too."""
    return exit_code(error) in {exit_codes.USAGE, exit_codes.QUEUE} or isinstance(error, OutputError)


def _from_click(error: click.ClickException) -> UsageError:
    """Return our error for one of click's."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"See `{ctx.command_path if ctx else 'asrq'} --help`."
    if isinstance(error, click.NoSuchOption) and ctx and _takes_files(ctx.command):
        hint += " A file whose name begins with a dash is named as in ./-talk.wav, or behind --."
    return UsageError(error.format_message(), hint=hint)


def _takes_files(command: click.Command) -> bool:
    return any(isinstance(each, click.Argument) and isinstance(each.type, click.Path) for each in command.params)


def from_defect(error: Exception) -> InternalError:
    """Return our error for an exception that nobody expected; its traceback is printed only for log level debug."""
    # Read here, not through the settings: what failed may be the settings.
    if os.environ.get("ASRQ_LOG_LEVEL", "").lower() == "debug":
        printing.say_lines("".join(traceback.format_exception(error)), err=True)
    return InternalError(
        f"Defect in asrq: {type(error).__name__}: {error}.",
        hint="Please report it with the traceback that ASRQ_LOG_LEVEL=debug shows.",
    )


def end(error: Exception, *, as_json: bool) -> int:
    """Say what ended a command, with `as_json` also as JSON on stdout, and return the exit code."""
    shown = _shown(error)
    say(shown)
    if as_json and not isinstance(shown, OutputError):
        with suppress(BrokenPipeError, OutputError):
            printing.give_json({"error": shown.info().model_dump()})
    return exit_code(shown)


def _shown(error: Exception) -> AsrqError:
    if isinstance(error, click.ClickException):
        return _from_click(error)
    if isinstance(error, AsrqError):
        return error
    if isinstance(error, OSError) and printing.was_printing(error):
        return printing.cannot_write(error)
    return from_defect(error)


def say(error: AsrqError, *, about: str | None = None) -> None:
    """Print an error to stderr for people; `about` names the file or job that it concerns."""
    label = Styled("asrq: error:", fg="red", bold=True)
    printing.say(label, f" {_naming(about, error.message)} ", Styled(f"[{error.code}]", dim=True), err=True)
    if error.hint:
        printing.say(f"  hint: {error.hint}", err=True)


def _naming(about: str | None, sentence: str) -> str:
    """Return a sentence that names what it is about, once; a worker may know no more than the last part of a path."""
    bare = (about or "").replace("\\", "/").rpartition("/")[2]
    if not about or about in sentence or (bare and f"/{bare}" in sentence.replace("\\", "/")):
        return sentence
    return (
        f"{about}{sentence.removeprefix(bare)}" if bare and sentence.startswith(f"{bare} ") else f"{about}: {sentence}"
    )


def warn(code: str, *, about: str) -> None:
    """Print to stderr what a result warns of; `about` names the file or job that it concerns."""
    label = Styled("asrq: warning:", fg="yellow", bold=True)
    printing.say(label, f" {about}: {result_warnings.meaning(code)} ", Styled(f"[{code}]", dim=True), err=True)


def note(text: str) -> None:
    """Print a remark to stderr."""
    printing.say(f"asrq: {text}", err=True)


def finish(*, any_failed: bool) -> None:
    """End a command that got to its end: with the exit code for a failed job if there was one."""
    if any_failed:
        raise click.exceptions.Exit(exit_codes.FAILED)
