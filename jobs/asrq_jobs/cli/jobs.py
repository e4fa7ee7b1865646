"""Commands on jobs that are in the queue: status, list, cancel, retry, erase, events."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, numbers, options, printing, workers
from asrq_jobs.cli.bulk import for_each
from asrq_jobs.cli.selection import chosen, failure_options, selection
from asrq_jobs.client import Client
from asrq_jobs.errors import (
    AudioEmptyError,
    AudioMismatchError,
    AudioUnreadableError,
    BlobMissingError,
    ForeignFunctionError,
    InvalidRequestError,
    JobNotFoundError,
    MalformedJobError,
    NoAudioStreamError,
    UnknownLanguageError,
    UsageError,
)
from asrq_jobs.events import Event
from asrq_jobs.request import LANES, Lane
from asrq_jobs.states import STATUSES, JobState, Status

_FOR_PEOPLE = ("id", "status", "no.", "lane", "since", "job")
_HOPELESS = frozenset(
    error.code
    for error in (
        AudioEmptyError, AudioMismatchError, AudioUnreadableError, BlobMissingError, ForeignFunctionError,
        InvalidRequestError, MalformedJobError, NoAudioStreamError, UnknownLanguageError,
    )
)  # fmt: skip
"""Codes of failures whose cause is the request or the recording itself, so that no operator can help."""
_COLUMNS = ("id", "status", "lane", "position", "attempt", "since", "description", "error", "waits for")


@click.command(epilog="\b\nExamples:\n  asrq status 3f2a… --json\n  asrq status --group night")
@click.argument("job_ids", metavar="[ID…]", nargs=-1)
@click.option(
    "--group", metavar="NAME", help="Show how far this group is, and its jobs that have failed; default: none."
)
@options.json_option
def status(job_ids: tuple[str, ...], group: str | None, as_json: bool) -> None:
    """Show the state of jobs, or of a group of jobs.

    Without a terminal, prints a line per job with tabs between id, status, lane, position, attempt, time of the
    last change, description, error code, and what it waits for if only some workers can serve it. For a group, prints
    a line with its id, its size, and how many jobs are open, completed, failed and canceled; then one per failed job.
    """
    if bool(job_ids) == (group is not None):
        raise UsageError("Name jobs, or a group.", hint="Give ids, or --group NAME.")
    if group is not None:
        _show_group(group, as_json=as_json)
        return
    states: list[JobState] = []
    any_failed = for_each(job_ids, lambda client, job_id: states.append(client.state(job_id)), as_json=as_json)
    _show(states, as_json=as_json)
    failure.finish(any_failed=any_failed)


@click.command("list", epilog="\b\nExamples:\n  asrq list --state failed --code worker_lost\n  asrq list --after 3f2a…")
@click.option("--state", type=click.Choice(STATUSES), help="Only jobs in this state; default: all.")
@click.option("--lane", type=click.Choice(LANES), help="Only jobs of this lane; default: both.")
@click.option(
    "--most", type=numbers.Whole(min=1), default=100, show_default=True, metavar="N", help="Of each lane and state."
)
@click.option(
    "--after",
    metavar="ID",
    help="Go on after this job, in its lane and state: the last one of a page. Default: from the beginning.",
)
@click.option("--tag", metavar="WORD", help="Only jobs that were submitted with this tag; default: all.")
@failure_options
@options.json_option
def list_jobs(
    state: Status | None,
    lane: Lane | None,
    most: int,
    after: str | None,
    code: str | None,
    older_than_s: float | None,
    tag: str | None,
    as_json: bool,
) -> None:
    """List the jobs of the queue, waiting ones first; also says if no worker takes jobs or no reaper runs.

    With --code or --older-than, lists failed jobs only. Without a terminal, prints the columns of `asrq status` with
    tabs between them.
    """
    by_failure = code is not None or older_than_s is not None
    if by_failure and (state not in {None, "failed"} or after is not None):
        raise UsageError("Only failed jobs have an error code.", hint="Leave out --state, or --code and --older-than.")
    if by_failure and tag is not None:
        raise UsageError("--tag does not go with --code or --older-than.", hint="Use --state failed with --tag.")
    with Client(configuration.load()) as client:
        if by_failure:
            letters = client.dead_letters(lane=lane, code=code, older_than_s=older_than_s, most=most)
            found = [client.state(letter.id) for letter in letters]
        else:
            found = client.jobs(state, lane=lane, most=most, after=after, tag=tag)
        _show(found, as_json=as_json)
        if not as_json:
            workers.warn_of_absence(client)


@click.command(epilog="\b\nExample:\n  asrq cancel 3f2a…")
@options.ids_argument
@options.json_option
def cancel(job_ids: tuple[str, ...], as_json: bool) -> None:
    """Cancel jobs: one that waits ends at once, one that runs within about a second."""

    def act(client: Client, job_id: str) -> None:
        _report(job_id, client.cancel(job_id), as_json=as_json)

    failure.finish(any_failed=for_each(job_ids, act, as_json=as_json))


@click.command(epilog="\b\nExamples:\n  asrq retry 3f2a…\n  asrq retry --all --code engine_crashed")
@selection
def retry(job_ids: tuple[str, ...], every: bool, as_json: bool, **filters: Any) -> None:
    """Put failed or canceled jobs back into their lanes; their history and what was transcribed before are kept.

    --all leaves those alone that can only fail again, such as a file without sound, and says so; --code retries them.
    """
    change(Client.retry, "queued", chosen(job_ids, filters, every=every, spare=_HOPELESS), as_json=as_json)


@click.command(epilog="\b\nExample:\n  asrq erase 3f2a…")
@options.ids_argument
@options.json_option
def erase(job_ids: tuple[str, ...], as_json: bool) -> None:
    """Erase jobs in any state: nothing of them stays in Redis, neither text nor uploaded audio.

    An upload that another job may still need stays. Files and URLs that jobs named are not touched.
    """

    def act(client: Client, job_id: str) -> None:
        client.erase(job_id)
        _report(job_id, "erased", as_json=as_json)

    failure.finish(any_failed=for_each(job_ids, act, as_json=as_json))


@click.command(epilog="\b\nExample:\n  asrq events 3f2a… --json")
@click.argument("job_id", metavar="ID")
@options.json_option
def events(job_id: str, as_json: bool) -> None:
    """Print the events of a job from its submission on, and follow it until it ends."""
    with Client(configuration.load()) as client:
        client.state(job_id)
        for event in client.events(job_id):
            if as_json:
                printing.give_json(event.model_dump(mode="json", exclude_none=True))
            else:
                printing.say(told(event))


def change(act: Callable[[Client, str], None], outcome: str, job_ids: Sequence[str], *, as_json: bool) -> None:
    """Do something to each job, and print its new state."""

    def one(client: Client, job_id: str) -> None:
        act(client, job_id)
        _report(job_id, outcome, as_json=as_json)

    failure.finish(any_failed=for_each(job_ids, one, as_json=as_json))


def _report(job_id: str, outcome: str, *, as_json: bool) -> None:
    if as_json:
        printing.give_json({"id": job_id, "status": outcome})
    else:
        printing.say(f"{job_id}  {outcome}")


def _show(states: Sequence[JobState], *, as_json: bool) -> None:
    if as_json:
        for state in states:
            printing.give_json(state.model_dump(mode="json"))
    elif sys.stdout.isatty():
        now = datetime.now().astimezone()
        rows = [_told_row(state, now=now) for state in states]
        printing.table(_FOR_PEOPLE, rows, dispensable=("lane", "no.", "since", "job"), notes=list(map(_note, states)))
    else:
        printing.table(_COLUMNS, map(_row, states))


def _show_group(group_id: str, *, as_json: bool) -> None:
    with Client(configuration.load()) as client:
        group = client.group(group_id)
        known = group.state()
        failed = [job_id for job_id, outcome in group.jobs().items() if outcome == "failed"] if known.failed else []
        states: list[JobState] = []
        for job_id in sorted(failed):
            with suppress(JobNotFoundError):  # it has expired, or was purged
                states.append(client.state(job_id))
    if as_json:
        printing.give_json(known.model_dump(mode="json"))
    else:
        row = (known.id, known.size, known.open, known.completed, known.failed, known.canceled)
        printing.table(("group", "size", "open", "completed", "failed", "canceled"), [tuple(map(str, row))])
    if states:
        _show(states, as_json=as_json)


def _row(state: JobState) -> tuple[str, ...]:
    since = _since(state)
    cells: Iterable[object] = (
        state.id,
        state.status,
        state.lane,
        f"{state.position}+" if state.at_least else state.position,
        state.attempt or None,
        since and f"{since.partition('.')[0].rstrip('Z')}Z",
        state.description,
        state.error and state.error.code,
        state.waits_for,
    )
    return tuple("" if cell is None else str(cell) for cell in cells)


def _told_row(state: JobState, *, now: datetime) -> tuple[str, ...]:
    return (
        state.id,
        state.status,
        f"{state.position or ''}{'+' if state.at_least else ''}",
        state.lane or "",
        _short(_since(state), now=now),
        ": ".join(filter(None, (_note(state), state.description))),
    )


def _note(state: JobState) -> str:
    """Return what is remarkable about a job."""
    again = f"attempt {state.attempt}" if state.attempt > 1 and state.status == "processing" else ""
    apart = f"waits for {state.waits_for}" if state.waits_for else ""
    return ": ".join(filter(None, (again, apart, state.error.code if state.error else "")))


def _since(state: JobState) -> str | None:
    return state.ended_at or state.started_at or state.enqueued_at


def _short(moment: str | None, *, now: datetime) -> str:
    """Return a time in local words: today only the time, this year the day with it, else the date."""
    try:
        local = datetime.fromisoformat(moment or "").astimezone(now.tzinfo)
    except ValueError:  # none, or written by hand
        return ""
    if local.date() == now.date():
        return local.strftime("%H:%M:%S")
    return local.strftime("%b %d %H:%M") if local.year == now.year else local.date().isoformat()


def told(event: Event) -> str:
    """Return an event as one line for people: local time, type, and what it says."""
    parts: Iterable[object] = (
        event.lane,
        event.depth and f"no. {event.depth}",
        event.waits_for and f"waits for a worker with {event.waits_for}",
        event.attempt and f"attempt {event.attempt}",
        event.worker,
        event.stage,
        event.step,
        None if event.fraction is None else f"{event.fraction:.0%}",
        event.rtfx and f"{event.rtfx:.1f}x",
        None if event.start is None or event.end is None else f"{event.start:.1f}-{event.end:.1f} s",
        event.text,
        event.delay_s and f"again in {event.delay_s:.1f} s",
        event.error and f"{event.error.message} [{event.error.code}]",
    )
    clock = datetime.fromtimestamp(event.at).astimezone().strftime("%H:%M:%S")
    return "  ".join([clock, f"{event.type:<9}", *(str(part) for part in parts if part)])
