"""How `asrq` fails: one sentence with a code and a hint, and an exit code that scripts can rely on."""

from __future__ import annotations

import os
import sys
import traceback

import click

from asrq_jobs.cli import colour, exits
from asrq_jobs.errors import (
    AsrqError,
    InternalError,
    QueueAuthError,
    QueueRefusedError,
    QueueUnreachableError,
    RequestError,
    SettingsError,
    UsageError,
    WaitTimeoutError,
)


def exit_code(error: AsrqError) -> int:
    """Return the exit code for an error that ends a command."""
    if isinstance(error, RequestError | SettingsError):
        return exits.USAGE
    if isinstance(error, QueueUnreachableError | QueueAuthError | QueueRefusedError):
        return exits.QUEUE
    return exits.TIMED_OUT if isinstance(error, WaitTimeoutError) else exits.FAILED


def concerns_all(error: AsrqError) -> bool:
    """Whether an error met at one source or job would be met at every other, too."""
    return exit_code(error) in {exits.USAGE, exits.QUEUE}


def from_click(error: click.ClickException) -> UsageError:
    """Return our error for one of click's."""
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "asrq"
    return UsageError(error.format_message(), hint=f"See `{path} --help`.")


def from_defect(error: Exception) -> InternalError:
    """Return our error for an exception that nobody expected; its traceback is printed only for log level debug."""
    # Read here, not through the settings: what failed may be the settings.
    if os.environ.get("ASRQ_LOG_LEVEL", "").lower() == "debug":
        traceback.print_exception(error)
    return InternalError(
        f"Defect in asrq: {type(error).__name__}: {error}.",
        hint="Please report it with the traceback that ASRQ_LOG_LEVEL=debug shows.",
    )


def say(error: AsrqError, *, about: str | None = None) -> None:
    """Print an error to stderr as people read it; `about` names the file or job that it concerns."""
    label, code = click.style("asrq: error:", fg="red", bold=True), click.style(f"[{error.code}]", dim=True)
    prefix = f"{about}: " if about and about not in error.message else ""
    click.echo(f"{label} {prefix}{error.message} {code}", err=True, color=colour.wanted(sys.stderr))
    if error.hint:
        click.echo(f"  hint: {error.hint}", err=True)


def note(text: str) -> None:
    """Print a remark to stderr."""
    click.echo(f"asrq: {text}", err=True)


def finish(*, any_failed: bool) -> None:
    """End a command that got to its end: with the exit code for a failed job if there was one."""
    if any_failed:
        raise click.exceptions.Exit(exits.FAILED)
