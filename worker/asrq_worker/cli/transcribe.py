"""`asrq transcribe`: the one-shot runner."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import click

from asrq_jobs import sources
from asrq_jobs.cli import failure, options
from asrq_jobs.cli.output import InOrder, Printer, choose
from asrq_jobs.errors import AsrqError, CanceledError, UsageError
from asrq_jobs.events import Event
from asrq_jobs.formats import Format
from asrq_worker.cli import running


@click.command(
    epilog="\b\nExamples:\n  asrq transcribe talk.mp3\n  asrq transcribe *.wav --format srt --output subtitles"
)
@click.argument("given", metavar="FILE…", nargs=-1, required=True, type=click.Path())
@options.speech_options
@running.model_options
@click.option("--recursive", is_flag=True, help="Take all audio and video files of a folder.")
@options.output_options
def transcribe(
    given: tuple[str, ...],
    model: str | None,
    backend: str | None,
    recursive: bool,
    form: Format | None,
    folder: Path | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Transcribe files here and now: the pipeline of a worker without a queue.

    With --json, or without a terminal, prints one result document a line in the order of the files, that of a
    failed one too (exit code 1). The same input gives the same bytes but for the fields timings, created_at,
    started_at, completed_at, worker and attempts.
    """
    from asrq_worker import logs, one_shot

    files = _files(given, recursive=recursive)
    printer = Printer(choose(form, as_json=as_json, folder=folder), several=len(files) > 1)
    config = running.quietly(model=model, backend=backend)
    logs.configure(config)
    names = {f"file-{number}": file.name for number, file in enumerate(files, start=1)}
    bars = None
    if sys.stderr.isatty() and not as_json:
        from asrq_jobs.cli.progress import Bars

        bars = Bars(names)

    def on_event(job_id: str, event: Event) -> None:
        if bars:
            bars.update(job_id, event)

    delivery = InOrder(printer, list(names.values()), hold=bars is not None and sys.stdout.isatty())
    try:
        with bars or nullcontext():
            results = one_shot.transcribe(
                config, files, on_event=on_event, stop=_stop_on_signal, **options.given(fields)
            )
            for index, result in enumerate(results):
                if bars:
                    bars.update(result.id, result)
                delivery.put(index, result)
    finally:
        delivery.flush()
    failure.finish(any_failed=printer.any_failed)


def _files(given: tuple[str, ...], *, recursive: bool) -> list[Path]:
    found = sources.expand(given, recursive=recursive)
    files = [source.path for source in found if source.path is not None]
    if len(files) < len(found):
        raise UsageError("asrq transcribe takes files.", hint="asrq submit takes standard input and URLs as well.")
    return files


def _stop_on_signal(stop_all: Callable[[AsrqError], None]) -> None:
    """Let SIGINT and SIGTERM end the command soon: running jobs would otherwise be finished first.

    So does a thread that ends although nothing goes on without it.
    """
    from asrq_worker import supervision

    def interrupted(number: int, frame: FrameType | None) -> None:
        del number, frame
        # Not in the handler itself: the main thread may hold a lock that stopping takes.
        threading.Thread(target=stop_all, args=(CanceledError("Interrupted."),)).start()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    supervision.on_failure(stop_all)
