"""`asrq wait` and `asrq result`: transcripts of jobs that were submitted before."""

from __future__ import annotations

from pathlib import Path

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, options
from asrq_jobs.cli.each import each
from asrq_jobs.cli.output import Printer, choose
from asrq_jobs.cli.waiting import await_all
from asrq_jobs.client import Client
from asrq_jobs.errors import JobStateError
from asrq_jobs.formats import Format


@click.command(
    epilog="\b\nExamples:\n  asrq wait 3f2a… --format srt\n  asrq wait $(cat ids.txt) --json > results.jsonl"
)
@options.ids_argument
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer.")
@options.output_options
def wait(
    job_ids: tuple[str, ...], timeout_s: float | None, form: Format | None, folder: Path | None, as_json: bool
) -> None:
    """Wait until jobs have ended and print their transcripts, in the order of the ids.

    With --json, or without a terminal, prints one result document a line, that of a failed job too (exit code 1).
    """
    printer = Printer(choose(form, as_json=as_json, folder=folder), several=len(job_ids) > 1)
    config = configuration.load()
    await_all(config, dict(enumerate(job_ids)), job_ids, printer, watch=not as_json, timeout_s=timeout_s)
    failure.finish(any_failed=printer.any_failed)


@click.command(epilog="\b\nExamples:\n  asrq result 3f2a…\n  asrq result 3f2a… --format vtt > talk.vtt")
@options.ids_argument
@options.output_options
def result(job_ids: tuple[str, ...], form: Format | None, folder: Path | None, as_json: bool) -> None:
    """Print the transcripts of jobs that have ended, in the order of the ids.

    With --json, or without a terminal, prints one result document a line, that of a failed job too (exit code 1).
    """
    printer = Printer(choose(form, as_json=as_json, folder=folder), several=len(job_ids) > 1)

    def show(client: Client, job_id: str) -> None:
        found = client.result(job_id)
        if found is None:
            status = client.state(job_id).status
            raise JobStateError(f"Job {job_id} is {status}: no result yet.", hint=f"Wait for it: asrq wait {job_id}")
        printer.show(job_id, found)

    any_refused = each(job_ids, show, as_json=as_json)
    failure.finish(any_failed=any_refused or printer.any_failed)
