"""`asrq dead`: the jobs that have failed for good, to look at, to retry and to throw away."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, options, printing
from asrq_jobs.cli.bulk import for_each
from asrq_jobs.cli.group import Group
from asrq_jobs.client import Client
from asrq_jobs.dead import DeadLetter
from asrq_jobs.errors import UsageError
from asrq_jobs.request import LANES

_COLUMNS = ("id", "lane", "code", "failed", "attempts", "backend", "description")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Decorated = TypeVar("Decorated", bound=Callable[..., object])


def _age(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:  # noqa: ARG001  # click's signature
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,9})([smhd])", value)
    if found is None:
        raise click.BadParameter("write a number and s, m, h or d, for example 12h")
    return float(found[1]) * _UNITS[found[2]]


def _filters(command: Decorated) -> Decorated:
    for option in (
        click.option(
            "--older-than",
            "older_than_s",
            callback=_age,
            metavar="AGE",
            help="Failed longer ago than this: 30m, 12h, 7d; default: any.",
        ),
        click.option("--code", metavar="CODE", help="With this error code only; default: any."),
        click.option("--lane", type=click.Choice(LANES), help="Of this lane only; default: both."),
    ):
        command = option(command)
    return command


def _selection(command: Decorated) -> Decorated:
    for option in (
        options.json_option,
        _filters,
        click.option("--all", "every", is_flag=True, help="All of them, or all that the options below leave."),
        click.argument("job_ids", metavar="[ID…]", nargs=-1),
    ):
        command = option(command)
    return command


@click.group(
    cls=Group,
    epilog="\b\nExamples:\n  asrq dead list --code worker_lost\n  asrq dead show 3f2a…\n"
    "  asrq dead retry --all --code out_of_memory\n  asrq dead purge --all --older-than 3d",
)
def dead() -> None:
    """Look after dead letters: jobs that have failed, kept with their history for ASRQ_FAILURE_TTL_S."""


@dead.command("list", epilog="\b\nExample:\n  asrq dead list --lane batch --older-than 7d")
@click.option("--most", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="Of each lane.")
@click.option("--all", "every", is_flag=True, help="All of them, however many there are.")
@_filters
@options.json_option
def list_dead(most: int, every: bool, as_json: bool, **filters: Any) -> None:
    """List dead letters, the newest first.

    Without a terminal, prints a line per job with tabs between id, lane, error code, time of the failure, number of
    attempts, backend and description.
    """
    with Client(configuration.load()) as client:
        found = client.dead_letters(**filters, most=None if every else most)
    if as_json:
        for letter in found:
            printing.give_json(letter.model_dump(mode="json"))
    else:
        printing.table(_COLUMNS, map(_row, found), dispensable=("backend", "attempts", "lane", "failed", "description"))


@dead.command(epilog="\b\nExample:\n  asrq dead show 3f2a…")
@options.ids_argument
@options.json_option
def show(job_ids: tuple[str, ...], as_json: bool) -> None:
    """Show dead letters with all their attempts."""

    def act(client: Client, job_id: str) -> None:
        letter = client.dead_letter(job_id)
        if as_json:
            printing.give_json(letter.model_dump(mode="json"))
        else:
            for line in _told(letter):
                printing.say(line)

    failure.finish(any_failed=for_each(job_ids, act, as_json=as_json))


@dead.command(epilog="\b\nExample:\n  asrq dead retry --all --code engine_crashed")
@_selection
def retry(job_ids: tuple[str, ...], every: bool, as_json: bool, **filters: Any) -> None:
    """Put dead letters back into their lanes; their history and what was transcribed before are kept."""
    _act(Client.retry, "queued", _chosen(job_ids, filters, every=every), as_json=as_json)


@dead.command(epilog="\b\nExample:\n  asrq dead purge --all --older-than 7d")
@_selection
def purge(job_ids: tuple[str, ...], every: bool, as_json: bool, **filters: Any) -> None:
    """Remove dead letters for good. Uploads stay until they expire: other jobs may name them."""
    _act(Client.purge, "purged", _chosen(job_ids, filters, every=every), as_json=as_json)


def _chosen(job_ids: Sequence[str], filters: dict[str, Any], *, every: bool) -> Sequence[str]:
    if bool(job_ids) == every or (job_ids and any(value is not None for value in filters.values())):
        raise UsageError("Name jobs, or all of them.", hint="Give ids; or --all, with --lane, --code or --older-than.")
    if job_ids:
        return job_ids
    with Client(configuration.load()) as client:
        return [letter.id for letter in client.dead_letters(**filters, most=None)]


def _act(act: Callable[[Client, str], None], outcome: str, job_ids: Sequence[str], *, as_json: bool) -> None:
    def one(client: Client, job_id: str) -> None:
        act(client, job_id)
        if as_json:
            printing.give_json({"id": job_id, "status": outcome})
        else:
            printing.say(f"{job_id}  {outcome}")

    failure.finish(any_failed=for_each(job_ids, one, as_json=as_json))


def _row(letter: DeadLetter) -> tuple[str, ...]:
    return (
        letter.id,
        letter.lane,
        letter.error.code if letter.error else "",
        (letter.failed_at or "").partition(".")[0],
        str(len(letter.attempts)),
        letter.backend or "",
        letter.description or "",
    )


def _told(letter: DeadLetter) -> list[str]:
    lines = ["  ".join(cell for cell in _row(letter) if cell)]
    for attempt in letter.attempts:
        why = f"{attempt.error.message} [{attempt.error.code}]" if attempt.error else ""
        lines.append(f"  attempt {attempt.number}  {attempt.started_at.partition('.')[0]}  {attempt.worker}  {why}")
    if letter.error:
        lines += [
            f"  {letter.error.message} [{letter.error.code}]",
            *([f"  hint: {letter.error.hint}"] * bool(letter.error.hint)),
        ]
    return lines
