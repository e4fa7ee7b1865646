"""Which failed jobs a command is for: those named, or all of a lane, with an error code, or of an age."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, options
from asrq_jobs.client import Client
from asrq_jobs.errors import UsageError, all_errors
from asrq_jobs.request import LANES

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Decorated = TypeVar("Decorated", bound=Callable[..., object])


def _age(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:  # noqa: ARG001  # click's signature
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,9})([smhd])", value)
    if found is None:
        raise click.BadParameter("write a number and s, m, h or d, for example 12h")
    return float(found[1]) * _UNITS[found[2]]


def _known_code(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    codes = sorted({error.code for error in all_errors()})
    if value is None or value in codes:
        return value
    near = difflib.get_close_matches(value, codes, n=1)
    said = f"Did you mean {near[0]!r}?" if near else "docs/reference/errors.md has them all."
    raise click.BadParameter(f"There is no error code {value!r}. {said}", context, parameter)


def failure_options(command: Decorated) -> Decorated:
    """Add the options that choose failed jobs by how and when they failed."""
    for option in (
        click.option(
            "--older-than",
            "older_than_s",
            callback=_age,
            metavar="AGE",
            help="Failed longer ago than this: 30m, 12h, 7d; default: any.",
        ),
        click.option("--code", callback=_known_code, metavar="CODE", help="With this error code only; default: any."),
    ):
        command = option(command)
    return command


def lane_option(command: Decorated) -> Decorated:
    """Add the option that chooses jobs of a lane."""
    return click.option("--lane", type=click.Choice(LANES), help="Of this lane only; default: both.")(command)


def selection(command: Decorated) -> Decorated:
    """Add ids of jobs, and options to choose failed ones without them; `chosen` reads them."""
    for option in (
        options.json_option,
        failure_options,
        lane_option,
        click.option("--all", "every", is_flag=True, help="All failed jobs, or all that the options below leave."),
        click.argument("job_ids", metavar="[ID…]", nargs=-1),
    ):
        command = option(command)
    return command


def chosen(
    job_ids: Sequence[str], filters: dict[str, Any], *, every: bool, spare: Collection[str] = ()
) -> Sequence[str]:
    """Return the ids of the jobs that a command is for.

    `spare` are codes of failures that are left alone, which is said on stderr, unless a code or the job is named.

    Raises:
        UsageError: jobs are named and chosen otherwise, or neither.
    """
    if bool(job_ids) == every or (job_ids and any(value is not None for value in filters.values())):
        raise UsageError("Name jobs, or all of them.", hint="Give ids; or --all, with --lane, --code or --older-than.")
    if job_ids:
        return job_ids
    with Client(configuration.load()) as client:
        letters = client.dead_letters(**filters, most=None)
    if filters.get("code") is not None:
        spare = ()
    spared = [letter.error.code for letter in letters if letter.error and letter.error.code in spare]
    if spared:
        codes = ", ".join(sorted(set(spared)))
        failure.note(f"{len(spared)} can only fail again and are left alone ({codes}); --code retries them, too.")
    return [letter.id for letter in letters if letter.error is None or letter.error.code not in spare]
