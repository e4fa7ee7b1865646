"""`asrq batch`: the files of an archive to transcripts in a folder, over hours and through interruptions."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, options, printing, workers
from asrq_jobs.cli.archive.items import gather
from asrq_jobs.cli.archive.report import Report
from asrq_jobs.cli.archive.run import Run, Totals
from asrq_jobs.cli.archive.view import Bars, Lines
from asrq_jobs.cli.interruption import interruptible
from asrq_jobs.cli.output import choose
from asrq_jobs.cli.progress import minutes
from asrq_jobs.client import Client
from asrq_jobs.errors import QueueError
from asrq_jobs.formats import FORMATS, Format
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.subtitles import Norms

_EPILOG = """\b
Examples:
  asrq batch recordings --output transcripts
  asrq batch 'calls/**/*.wav' --output transcripts --format srt --language ru
  asrq batch --manifest list.csv --output transcripts

\b
The same command goes on where it was stopped, also on another machine that has both folders: what is done, by content
and options, is skipped. What became of each file is in report.jsonl in the folder of the transcripts.
"""


@click.command(epilog=_EPILOG)
@click.argument("given", metavar="SOURCE…", nargs=-1, type=options.NamedPath())
@click.option(
    "--manifest",
    "manifests",
    multiple=True,
    type=options.NamedPath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Take what a file names: lines of JSON, or a table with the ending .csv; may be repeated.",
)
@click.option(
    "--output",
    "folder",
    required=True,
    type=options.NamedPath(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the transcripts, which gets the tree of the sources.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="txt", show_default=True, help="Of transcripts.")
@click.option(
    "--most",
    type=click.IntRange(1, 1000),
    default=32,
    show_default=True,
    metavar="N",
    help="Files that are in the queue at a time; together they have no more than 256 MiB, or there is one.",
)
@click.option("--path", "by_path", is_flag=True, help="Send paths, not bytes: the worker reads the same file system.")
@options.queue_options
@options.speech_options
@options.norms_options
@options.json_option
def batch(
    given: tuple[str, ...],
    manifests: tuple[Path, ...],
    folder: Path,
    form: Format,
    most: int,
    by_path: bool,
    norms: Norms,
    as_json: bool,
    **fields: Any,
) -> None:
    """Transcribe an archive.

    SOURCE is a file, a folder, a pattern such as 'calls/**/*.wav', or a URL where the operator allows it.
    """
    items = gather(given, manifests, tell=failure.note)
    asked = options.given(fields)
    Request.build(id="id", audio=PathAudio(path="-"), **asked)
    shown = choose(form, as_json=as_json, folder=folder, norms=norms, several=True)
    totals = Totals(len(items))
    bars = Bars(totals) if sys.stderr.isatty() else Lines()
    with Client(configuration.load()) as client, closing(Report(folder)) as report, interruptible():
        workers.consult(client, asked)
        run = Run(client, items, report, shown, totals, options=asked, by_path=by_path, most=most, shown=bars)
        try:
            with bars:
                run.finish()
        except (KeyboardInterrupt, QueueError):
            failure.note("what is in the queue goes on. The same command goes on from here.")
            raise
        report.finish(item.name for item in items)
    _tell(totals, folder, as_json=as_json)
    failure.finish(any_failed=totals.failed > 0)


def _tell(totals: Totals, folder: Path, *, as_json: bool) -> None:
    if as_json:
        printing.give_json(vars(totals))
        return
    done = [f"{totals.completed} completed", f"{totals.failed} failed", f"{totals.skipped} done before"]
    printing.say(f"{totals.files} files: {', '.join(done)}.")
    if totals.completed:
        speed = totals.audio_s / max(totals.elapsed_s, 1e-3)
        printing.say(f"{minutes(totals.audio_s)} of audio in {minutes(totals.elapsed_s)}, {speed:.1f}x.")
    printing.say(f"Transcripts and report.jsonl are in {folder}.")
