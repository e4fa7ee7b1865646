"""`asrq batch` and `asrq watch`: the files of an archive, or those that arrive, to transcripts in a folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from asrq_jobs import configuration
from asrq_jobs.cli import failure, numbers, options, printing, workers
from asrq_jobs.cli.archive import folders
from asrq_jobs.cli.archive.arrivals import Arrivals
from asrq_jobs.cli.archive.folders import Folder
from asrq_jobs.cli.archive.items import gather
from asrq_jobs.cli.archive.report import Report
from asrq_jobs.cli.archive.run import Run
from asrq_jobs.cli.archive.shown import Totals
from asrq_jobs.cli.archive.view import ArchiveBars, Lines
from asrq_jobs.cli.interruption import interruptible
from asrq_jobs.cli.norms import norms_options
from asrq_jobs.cli.output import Form, choose
from asrq_jobs.cli.progress import minutes
from asrq_jobs.client import Client
from asrq_jobs.errors import QueueError, UsageError
from asrq_jobs.formats import FORMATS, SUBTITLES, Format, extension
from asrq_jobs.subtitles import NORMS, Norms

_EPILOG = """\b
Examples:
  asrq batch recordings --output transcripts
  asrq batch 'calls/**/*.wav' --output transcripts --format srt --language ru
  asrq batch --manifest list.csv --output transcripts

\b
The same command goes on where it was stopped, also on another machine that has both folders: files whose content
and options are done are skipped. report.jsonl in the folder of the transcripts says how each file ended.
"""

_WATCH_EPILOG = """\b
Example:
  asrq watch inbox --output transcripts

\b
A file with the same content and options is not done again. How each file ended is in report.jsonl in the folder of
the transcripts.
"""
_LOOK_S = 1.0
_GOES_ON = "what is in the queue goes on. The same command goes on from here."

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _archive_options(command: Decorated) -> Decorated:
    """Add the options of both commands."""
    for option in (
        options.json_option,
        norms_options,
        options.speech_options,
        options.queue_options,
        click.option(
            "--path", "by_path", is_flag=True, help="Send paths, not bytes: the worker reads the same file system."
        ),
        click.option(
            "--most",
            type=numbers.Whole(1, 1000),
            default=32,
            show_default=True,
            metavar="N",
            help="Files that are in the queue at a time; together they have no more than 256 MiB, or there is one.",
        ),
        click.option(
            "--format",
            "forms",
            type=click.Choice(FORMATS),
            multiple=True,
            default=("txt",),
            show_default="txt",
            help="Of transcripts; may be repeated: each file is transcribed once, and written in all of them.",
        ),
        click.option(
            "--output",
            "folder",
            required=True,
            type=options.NamedPath(),
            metavar="DIR",
            help="Folder of the transcripts, which gets the tree of the sources; or an address in a store, such as "
            "s3://bucket/transcripts.",
        ),
    ):
        command = option(command)
    return command


@click.command(epilog=_EPILOG)
@click.argument("given", metavar="[SOURCE]…", nargs=-1, type=options.NamedPath())
@click.option(
    "--manifest",
    "manifests",
    multiple=True,
    type=options.NamedPath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Take what a file names: lines of JSON, or a table with the ending .csv; may be repeated. Default: none.",
)
@_archive_options
def batch(
    given: tuple[str, ...],
    manifests: tuple[Path, ...],
    folder: str,
    forms: tuple[Format, ...],
    most: int,
    by_path: bool,
    norms: Norms,
    as_json: bool,
    **fields: Any,
) -> None:
    """Transcribe an archive.

    SOURCE is a file, a folder, a pattern such as 'calls/**/*.wav', or a URL where the operator allows it. In stores
    such as s3://, a URL that ends with a slash is a folder, and patterns work as well.
    """
    items = gather(given, manifests, tell=failure.note)
    shown, into = _chosen(forms, norms), folders.opened(folder)
    with _running(into, shown, options.given(fields), most=most, by_path=by_path) as run:
        run.add(items)
        while not run.idle:
            run.step()
    _tell(run.totals, into, as_json=as_json)
    failure.finish(any_failed=run.totals.failed > 0)


@click.command(epilog=_WATCH_EPILOG)
@click.argument("source", metavar="DIR", type=options.NamedPath(path_type=Path, file_okay=False))
@click.option(
    "--rest",
    "rest_s",
    type=numbers.Number(min=0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Take a file once it has not changed for so long.",
)
@_archive_options
def watch(
    source: Path,
    rest_s: float,
    folder: str,
    forms: tuple[Format, ...],
    most: int,
    by_path: bool,
    norms: Norms,
    as_json: bool,
    **fields: Any,
) -> None:
    """Transcribe what arrives in a folder, and what is there, until Ctrl-C or SIGTERM."""
    if not source.is_dir():
        raise UsageError(f"There is no folder {source}.", hint="Name one that is there.")
    shown, into = _chosen(forms, norms), folders.opened(folder)
    arrivals = Arrivals(source, rest_s)
    with _running(into, shown, options.given(fields), most=most, by_path=by_path) as run, suppress(KeyboardInterrupt):
        failure.note(f"watches {source}, until Ctrl-C.")
        while True:
            run.add(arrivals.look())
            if run.idle:
                time.sleep(_LOOK_S)
            else:
                run.step(_LOOK_S)
    if not run.idle:
        failure.note(_GOES_ON)
    _tell(run.totals, into, as_json=as_json)


def _chosen(forms: Sequence[Format], norms: Norms) -> list[Form]:
    """Return how each transcript is written; `norms` are for the subtitles among the formats.

    Raises:
        UsageError: there are none, or two formats have the same ending.
    """
    several = list(dict.fromkeys(forms))
    for place, form in enumerate(several):
        if other := next((each for each in several[:place] if extension(each) == extension(form)), None):
            raise UsageError(
                f"{other} and {form} would both be written to {extension(form)} files.",
                hint="Run them into two folders.",
            )
    cut = [form for form in several if form in SUBTITLES] or several
    return [
        choose(form, as_json=False, folder=None, norms=norms if form in cut else NORMS, several=False)
        for form in several
    ]


@contextmanager
def _running(
    folder: Folder, forms: Sequence[Form], asked: dict[str, Any], *, most: int, by_path: bool
) -> Iterator[Run]:
    """Make a run on the queue of the settings, which is shown while the block goes on."""
    totals = Totals()
    bars = ArchiveBars(totals) if sys.stderr.isatty() else Lines()
    report = Report(folder)
    with Client(configuration.load()) as client, interruptible():
        workers.consult(client, asked)
        workers.warn_of_absence(client)
        try:
            with bars:
                yield Run(client, report, folder, forms, totals, options=asked, by_path=by_path, most=most, shown=bars)
        except (KeyboardInterrupt, QueueError):
            report.finish()
            failure.note(_GOES_ON)
            raise
        report.finish()


def _tell(totals: Totals, folder: Folder, *, as_json: bool) -> None:
    if as_json:
        printing.give_json(vars(totals))
        return
    done = [f"{totals.completed} completed", f"{totals.failed} failed", f"{totals.skipped} done before"]
    printing.say(f"{totals.files} file{'s' * (totals.files != 1)}: {', '.join(done)}.")
    if totals.completed:
        speed = totals.audio_s / max(totals.elapsed_s, 1e-3)
        printing.say(f"{minutes(totals.audio_s)} of audio in {minutes(totals.elapsed_s)}, {speed:.1f}x.")
    printing.say(f"Transcripts and report.jsonl are in {folder}.")
