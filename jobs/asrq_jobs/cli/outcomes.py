"""`asrq wait` and `asrq result`: transcripts of jobs that were submitted before."""

from __future__ import annotations

from pathlib import Path

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, numbers, options
from asrq_jobs.cli.bulk import for_each
from asrq_jobs.cli.output import ResultWriter, choose
from asrq_jobs.cli.waiting import waiting
from asrq_jobs.client import Client
from asrq_jobs.errors import JobStateError
from asrq_jobs.formats import Format
from asrq_jobs.subtitles import Norms


@click.command(
    epilog="\b\nExamples:\n  asrq wait 3f2a… --format srt\n  asrq wait $(cat ids.txt) --json > results.jsonl"
)
@options.ids_argument
@click.option(
    "--timeout", "timeout_s", type=numbers.Number(min=0), metavar="SECONDS", help="Wait no longer; default: no limit."
)
@options.output_options
def wait(
    job_ids: tuple[str, ...],
    timeout_s: float | None,
    form: Format | None,
    folder: Path | None,
    norms: Norms,
    as_json: bool,
) -> None:
    """Wait until jobs have ended and print their transcripts, in the order of the ids.

    With --json prints one result document a line, that of a failed job too (exit code 1). Files of --output are named
    after the audio.
    """
    shown = choose(form, as_json=as_json, folder=folder, norms=norms, several=len(job_ids) > 1)
    with (
        Client(configuration.load()) as client,
        waiting(client, shown, job_ids, job_ids, by_id=True) as (jobs, writer),
    ):
        for index, job_id in enumerate(job_ids):
            jobs.add(index, job_id)
        jobs.finish(timeout_s)
    failure.finish(any_failed=writer.any_failed)


@click.command(epilog="\b\nExamples:\n  asrq result 3f2a…\n  asrq result 3f2a… --format vtt > talk.vtt")
@options.ids_argument
@options.output_options
def result(job_ids: tuple[str, ...], form: Format | None, folder: Path | None, norms: Norms, as_json: bool) -> None:
    """Print the transcripts of jobs that have ended, in the order of the ids.

    With --json prints one result document a line, that of a failed job too (exit code 1). Files of --output are named
    after the audio.
    """
    shown = choose(form, as_json=as_json, folder=folder, norms=norms, several=len(job_ids) > 1)
    writer = ResultWriter(shown, job_ids, by_id=True)
    numbers = iter(range(len(job_ids)))

    def show(client: Client, job_id: str) -> None:
        index = next(numbers)
        found = client.result(job_id, peek=True)
        if found is None:
            status = client.state(job_id).status
            raise JobStateError(f"Job {job_id} is {status}: no result yet.", hint=f"Wait for it: asrq wait {job_id}")
        writer.put(index, found)
        writer.flush()  # even if an earlier job was refused
        if found.erased_when_fetched:
            client.erase(job_id)

    any_refused = for_each(job_ids, show, as_json=as_json)
    failure.finish(any_failed=any_refused or writer.any_failed)
