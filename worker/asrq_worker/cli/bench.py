"""`asrq bench`: quality and speed, measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrq_jobs import languages
from asrq_jobs.cli import failure, numbers, options, printing
from asrq_jobs.display import visible
from asrq_worker.cli import running
from asrq_worker.storage.disk import temporary

if TYPE_CHECKING:
    from asrq_worker.bench.measure import BenchmarkStep, Tell


@click.command(
    epilog="\b\nExamples:\n  asrq bench --manifest speech.jsonl --backend whisper:base --language ru,en\n"
    "  asrq bench --manifest speech.jsonl --backend whisper:base --backend qwen:/models/qwen3-asr-1.7b --output figures"
)
@click.option(
    "--manifest",
    type=options.NamedPath(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="JSON lines with path (relative to the file), language and text, and perhaps kind and tags.",
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    required=True,
    metavar="NAME[:MODEL]",
    help="What to measure: whisper:base, qwen:/path, …; may be repeated.",
)
@click.option("--language", "wanted", metavar="CODES", help="Only clips in these: ru,en; default: all.")
@click.option(
    "--kind", "kinds", multiple=True, metavar="KIND", help="Only clips of this kind; may be repeated. Default: all."
)
@click.option(
    "--tag-exclude",
    "tags",
    multiple=True,
    metavar="TAG",
    help="No clips with this tag; may be repeated. Default: none.",
)
@click.option(
    "--limit", type=numbers.Whole(min=1), metavar="N", help="At most this many clips of each language; default: all."
)
@click.option(
    "--output",
    "folder",
    type=options.NamedPath(path_type=Path, file_okay=False),
    default=Path("bench"),
    show_default=True,
    metavar="DIR",
    help="Where results are kept and reports written.",
)
@click.option("--fresh", is_flag=True, help="Measure everything again instead of continuing with the results in DIR.")
@options.json_option
def bench(
    manifest: Path,
    backends: tuple[str, ...],
    wanted: str | None,
    kinds: tuple[str, ...],
    tags: tuple[str, ...],
    limit: int | None,
    folder: Path,
    fresh: bool,
    as_json: bool,
) -> None:
    """Run a manifest of speech through the real queue and report errors, latency, throughput, start and memory.

    For each backend starts `asrq up`, transcribes every clip alone and then all at once, with the language of each
    given. Writes report.md, report.json and charts to DIR. Interrupted, it goes on where it was; with other settings
    (ASRQ_*) it measures anew.
    """
    temporary()  # matplotlib wants one, and says so otherwise
    from asrq_worker.bench import markdown, run, target
    from asrq_worker.bench.manifest import Selection

    config = running.quietly()
    plan = run.Plan(
        manifest=manifest,
        selection=Selection(
            languages=[languages.normalize(code) for code in filter(None, (wanted or "").split(","))],
            kinds=kinds,
            without_tags=tags,
            limit=limit,
        ),
        targets=[target.parse(text, config) for text in backends],
        folder=folder,
        fresh=fresh,
    )
    with _progress() as tell:
        report = run.run(plan, config, tell)
    if as_json:
        printing.give_json(report.model_dump(mode="json"))
    else:
        printing.give(markdown.render(report))
    failure.note(f"report.md, report.json and charts are in {folder}.")


@contextmanager
def _progress() -> Iterator[Tell]:
    """Bars on a terminal, a line for each step elsewhere; both on stderr."""
    if not sys.stderr.isatty():
        yield lambda step: failure.note(_line(step))
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    bars: dict[str, TaskID] = {}
    with Progress(
        *columns, console=printing.console(err=True), redirect_stdout=False, redirect_stderr=False
    ) as progress:

        def tell(step: BenchmarkStep) -> None:
            name = f"{step.target} {step.phase}"
            if name not in bars:
                bars[name] = progress.add_task(visible(name), total=step.total or 1, note="")
            progress.update(bars[name], completed=step.done, note=visible(step.note))

        yield tell


def _line(step: BenchmarkStep) -> str:
    place = f" {step.done}/{step.total} {step.note}" if step.total else ""
    return f"{step.target} {step.phase}{place}"
