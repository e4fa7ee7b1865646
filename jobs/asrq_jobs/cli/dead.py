"""`asrq dead`: the jobs that have failed for good, to look at, to retry and to throw away."""

from __future__ import annotations

from typing import Any

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, numbers, options, printing
from asrq_jobs.cli.bulk import for_each
from asrq_jobs.cli.group import CommandGroup, hidden
from asrq_jobs.cli.jobs import change, retry
from asrq_jobs.cli.selection import chosen, failure_options, lane_option, selection
from asrq_jobs.client import Client
from asrq_jobs.dead import DeadLetter

_COLUMNS = ("id", "lane", "code", "failed", "attempts", "backend", "description")


@click.group(
    cls=CommandGroup,
    epilog="\b\nExamples:\n  asrq dead show 3f2a…\n  asrq dead purge --all --older-than 3d",
)
def dead() -> None:
    """Look after dead letters: jobs that have failed, kept with their history for ASRQ_FAILURE_TTL_S.

    `asrq list --state failed` lists them, and `asrq retry` puts them back into their lanes.
    """


@dead.command("list", hidden=True, epilog="\b\nExample:\n  asrq dead list --lane batch --older-than 7d")
@click.option("--most", type=numbers.Whole(min=1), default=100, show_default=True, metavar="N", help="Of each lane.")
@click.option("--all", "every", is_flag=True, help="All of them, however many there are.")
@failure_options
@lane_option
@options.json_option
def list_dead(most: int, every: bool, as_json: bool, **filters: Any) -> None:
    """List dead letters, the newest first; `asrq list --state failed` does so, too.

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


@dead.command(epilog="\b\nExamples:\n  asrq dead show 3f2a…\n  asrq dead show --all --older-than 3d")
@selection
def show(job_ids: tuple[str, ...], every: bool, as_json: bool, **filters: Any) -> None:
    """Show dead letters with all their attempts."""

    def act(client: Client, job_id: str) -> None:
        letter = client.dead_letter(job_id)
        if as_json:
            printing.give_json(letter.model_dump(mode="json"))
        else:
            for line in _told(letter):
                printing.say(line)

    failure.finish(any_failed=for_each(chosen(job_ids, filters, every=every), act, as_json=as_json))


dead.add_command(hidden(retry))


@dead.command(epilog="\b\nExample:\n  asrq dead purge --all --older-than 7d")
@selection
def purge(job_ids: tuple[str, ...], every: bool, as_json: bool, **filters: Any) -> None:
    """Remove dead letters for good. Uploads stay until they expire: other jobs may name them."""
    change(Client.purge, "purged", chosen(job_ids, filters, every=every), as_json=as_json)


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
