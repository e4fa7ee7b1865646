"""`asrq submit`: audio into the queue, and transcripts out of it with `--wait`."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Any

import click

from asrq_jobs import configuration, sources
from asrq_jobs.cli import failure, options, workers
from asrq_jobs.cli.follow import commands_for
from asrq_jobs.cli.output import Printer, choose, echo_json, failed
from asrq_jobs.cli.waiting import await_all
from asrq_jobs.client import Client
from asrq_jobs.errors import AsrqError, UsageError
from asrq_jobs.formats import Format
from asrq_jobs.request import Audio, PathAudio, Request, UrlAudio
from asrq_jobs.result import Result
from asrq_jobs.sources import STDIN, Source
from asrq_jobs.states import Submitted

_EPILOG = """\b
Examples:
  asrq submit talk.mp3 --wait
  asrq submit *.mp3 --wait --format srt --output subtitles
  asrq submit recordings --recursive --language ru --json
  ffmpeg -i film.mkv -vn -f ogg - | asrq submit - --wait
  asrq wait $(asrq submit talk.mp3)

\b
Without --wait, prints the id of each job on a line; with --json {"id": …, "status": "queued"}.
"""


@click.command(epilog=_EPILOG)
@click.argument("given", metavar="SOURCE…", nargs=-1, required=True, type=click.Path())
@click.option("--wait", is_flag=True, help="Wait until the jobs have ended and print their transcripts.")
@click.option("--wait-timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer; the jobs go on.")
@options.queue_options
@options.speech_options
@click.option(
    "--id", "job_id", metavar="ID", help="Id of the job, for a single source: submitting it twice is one job."
)
@click.option("--recursive", is_flag=True, help="Take all audio and video files of a folder.")
@click.option("--path", "by_path", is_flag=True, help="Send paths, not bytes: the worker reads the same file system.")
@options.output_options
def submit(
    given: tuple[str, ...],
    wait: bool,
    wait_timeout: float | None,
    job_id: str | None,
    recursive: bool,
    by_path: bool,
    form: Format | None,
    folder: Path | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Submit audio to the queue.

    SOURCE is a file, a folder (with --recursive), - for standard input, or a URL where the operator allows it.
    """
    found = sources.expand(given, recursive=recursive)
    _check(found, job_id, by_path=by_path, wait=wait, shows=bool(form or folder or wait_timeout is not None))
    asked = options.given(fields)
    ids = [job_id or uuid.uuid4().hex for _ in found]
    # What is wrong with the options is wrong for every source: say so before any audio is sent.
    Request.build(id=ids[0], audio=PathAudio(path="-"), **asked)
    printer = Printer(choose(form, as_json=as_json, folder=folder), several=len(found) > 1)
    config = configuration.load()
    queued: dict[int, str] = {}
    refused: dict[int, Result] = {}
    with Client(config) as client:
        workers.consult(client, asked)
        for index, source in enumerate(found):
            try:
                answer = client.submit(_audio(client, source, by_path=by_path), id=ids[index], **asked)
            except AsrqError as error:
                if failure.concerns_all(error):
                    if wait and queued:
                        failure.note(f"some jobs were queued before this failed. {commands_for(queued.values())}")
                    raise
                refused[index] = failed(ids[index], error, name=source.name)
                if not wait:
                    _say_failed(error, source, as_json=as_json)
                continue
            queued[index] = answer.id
            if not wait:
                _say_queued(answer, source, as_json=as_json)
    if wait:
        names = [source.name for source in found]
        await_all(config, queued, names, printer, known=refused, watch=not as_json, timeout_s=wait_timeout)
    failure.finish(any_failed=bool(refused) or printer.any_failed)


def _check(found: list[Source], job_id: str | None, *, by_path: bool, wait: bool, shows: bool) -> None:
    if job_id is not None and len(found) > 1:
        raise UsageError(f"--id names one job, but there are {len(found)} sources.", hint="Leave --id out.")
    if shows and not wait:
        raise UsageError("--format, --output and --wait-timeout need --wait.", hint="Add --wait.")
    standard_input = any(str(source) == STDIN for source in found)
    if standard_input and by_path:
        raise UsageError("Standard input has no path.", hint="Leave --path out.")
    if standard_input and sys.stdin.isatty():
        raise UsageError("Standard input is a terminal.", hint="Pipe audio into it: asrq submit - < talk.mp3")


def _audio(client: Client, source: Source, *, by_path: bool) -> Audio:
    if source.url is not None:
        return UrlAudio(url=source.url)
    if source.path is None:
        return client.upload(sys.stdin.buffer.read(), name=source.name)
    if by_path:
        return PathAudio(path=str(source.path.absolute()))
    return client.upload(source.path, name=source.name)


def _say_queued(answer: Submitted, source: Source, *, as_json: bool) -> None:
    if as_json:
        echo_json({"id": answer.id, "status": answer.status})
    else:
        click.echo(f"{answer.id}  {source}" if sys.stdout.isatty() else answer.id)


def _say_failed(error: AsrqError, source: Source, *, as_json: bool) -> None:
    if as_json:
        echo_json({"id": None, "status": "failed", "source": str(source), "error": error.info().model_dump()})
    else:
        failure.say(error, about=source.name)
