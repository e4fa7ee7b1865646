"""`asrq submit`: puts audio into the queue, and with `--wait` prints the transcripts."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from asrq_jobs import configuration, sources, uploads
from asrq_jobs.cli import failure, numbers, options, printing, workers
from asrq_jobs.cli.output import Form, choose, failed
from asrq_jobs.cli.waiting import waiting
from asrq_jobs.client import Client
from asrq_jobs.errors import AsrqError, OutputError, UsageError
from asrq_jobs.formats import Format
from asrq_jobs.request import Audio, Request, UrlAudio
from asrq_jobs.sources import STDIN, Source
from asrq_jobs.states import Submitted
from asrq_jobs.subtitles import Norms

_EPILOG = """\b
Examples:
  asrq submit talk.mp3 --wait > talk.txt
  asrq submit *.mp3 --wait --format srt --output subtitles
  asrq submit recordings --recursive --language ru --json
  ffmpeg -i film.mkv -vn -f ogg - | asrq submit - --wait
  asrq wait $(asrq submit talk.mp3)

\b
Without --wait, prints the id of each job on a line; with --json {"id": …, "status": "queued"}.
"""


@click.command(epilog=_EPILOG)
@click.argument("given", metavar="SOURCE…", nargs=-1, required=True, type=options.NamedPath())
@click.option("--wait", is_flag=True, help="Wait until the jobs have ended and print their transcripts.")
@click.option(
    "--wait-timeout",
    type=numbers.Number(min=0),
    metavar="SECONDS",
    help="Wait no longer; the jobs go on. Default: no limit.",
)
@options.queue_options
@options.speech_options
@click.option(
    "--id",
    "job_id",
    metavar="ID",
    help="Id of the job, for a single source: submitting it twice is one job. Default: a new one.",
)
@options.group_options
@click.option(
    "--deliver",
    metavar="URL",
    help="URL that the worker puts the transcript of a single source to, where allowed: JSON, or by its ending "
    ".txt, .srt, .vtt or .tsv. Default: none.",
)
@click.option("--recursive", is_flag=True, help="Take all audio and video files of a folder.")
@click.option("--path", "by_path", is_flag=True, help="Send paths, not bytes: the worker reads the same file system.")
@options.output_options
def submit(
    given: tuple[str, ...],
    wait: bool,
    wait_timeout: float | None,
    job_id: str | None,
    group: str | None,
    group_size: int | None,
    group_webhook: str | None,
    recursive: bool,
    by_path: bool,
    form: Format | None,
    folder: Path | None,
    norms: Norms,
    as_json: bool,
    **fields: Any,
) -> None:
    """Submit audio to the queue.

    SOURCE is a file, a folder (with --recursive), - for standard input, or a URL where the operator allows it.
    """
    found = sources.expand(given, recursive=recursive, tell=failure.note)
    single = {"--id": job_id, "--deliver": fields["deliver"]}
    _check(found, single, by_path=by_path, wait=wait, shows=bool(form or folder or wait_timeout is not None))
    fields |= options.grouped(group, group_size, group_webhook, sources=len(found))
    asked = options.given(fields | {"id": job_id})
    asked.pop("id", None)
    ids = [uuid.uuid4().hex if job_id is None else job_id for _ in found]
    shown = choose(form, as_json=as_json, folder=folder, norms=norms, several=len(found) > 1)
    with Client(configuration.load()) as client:
        workers.consult(client, asked)

        def send(index: int) -> Submitted:
            return client.submit(_audio(client, found[index], by_path=by_path), id=ids[index], **asked)

        if wait:
            any_failed = _send_and_wait(client, found, ids, send, shown, wait_timeout)
        else:
            at_once = by_path or all(source.url is not None for source in found)
            sent = _sent_at_once(client, found, ids, asked) if at_once else _sent(found, send)
            any_failed = _tell(found, sent, as_json=as_json, at_once=at_once)
    failure.finish(any_failed=any_failed)


def _sent(found: list[Source], send: Callable[[int], Submitted]) -> Iterator[Submitted | AsrqError]:
    """Submit sources one by one, and yield what became of each."""
    for index in range(len(found)):
        try:
            yield send(index)
        except AsrqError as error:
            yield error


def _sent_at_once(
    client: Client, found: list[Source], ids: list[str], asked: dict[str, Any]
) -> Iterator[Submitted | AsrqError]:
    """The same for sources of which nothing is uploaded: many in one round trip."""

    def request(index: int) -> Request | AsrqError:
        try:
            return Request.build(id=ids[index], audio=_audio(client, found[index], by_path=True), **asked)
        except AsrqError as error:
            return error

    requests = [request(index) for index in range(len(found))]
    answers = client.submit_many(each for each in requests if isinstance(each, Request))
    for each in requests:
        yield each if isinstance(each, AsrqError) else next(answers)


def _tell(found: list[Source], sent: Iterator[Submitted | AsrqError], *, as_json: bool, at_once: bool) -> bool:
    """Tell what became of each source, and return whether any was refused."""
    any_failed = False
    for source, answer in zip(found, sent, strict=True):
        if isinstance(answer, AsrqError):
            if failure.concerns_all(answer):
                raise answer
            any_failed = True
            if as_json:
                shown = {"id": None, "status": "failed", "source": str(source), "error": answer.info().model_dump()}
                printing.give_json(shown)
            failure.say(answer, about=source.shown)
        else:
            try:
                _say_queued(answer, source, as_json=as_json)
            except OutputError:
                others = "those after it may be, too" if at_once else "nothing after it was"
                failure.note(f"{source.shown} was queued as {answer.id}; {others}.")
                raise
    return any_failed


def _send_and_wait(
    client: Client,
    found: list[Source],
    ids: list[str],
    send: Callable[[int], Submitted],
    form: Form,
    timeout_s: float | None,
) -> bool:
    """Submit all sources, wait until the jobs have ended, and return whether any failed.

    What has ended is handed over while others are still being sent.
    """
    with waiting(client, form, [source.shown for source in found], ids) as (jobs, writer):
        for index, source in enumerate(found):
            jobs.sending(ids[index])
            try:
                answer = send(index)
            except AsrqError as error:
                if failure.concerns_all(error):
                    raise
                jobs.settle(index, failed(ids[index], error, name=source.name))
            else:
                jobs.add(index, answer.id, known=True)
            jobs.glance()
        jobs.finish(timeout_s)
    return writer.any_failed


def _check(found: list[Source], single: dict[str, str | None], *, by_path: bool, wait: bool, shows: bool) -> None:
    for option, value in single.items():
        if value is not None and len(found) > 1:
            raise UsageError(f"{option} is for one source, but there are {len(found)}.", hint=f"Leave {option} out.")
    if shows and not wait:
        raise UsageError("--format, --output and --wait-timeout need --wait.", hint="Add --wait.")
    if by_path and any(str(source) == STDIN for source in found):
        raise UsageError("Standard input has no path.", hint="Leave --path out.")


def _audio(client: Client, source: Source, *, by_path: bool) -> Audio:
    if source.wrong:
        raise source.wrong
    if source.url is not None:
        return UrlAudio(url=source.url)
    if source.path is None:
        audio = uploads.read(sys.stdin.buffer, source.name, max_mb=client.settings.max_audio_mb)
        return client.upload(audio, name=source.name)
    if by_path:
        return uploads.by_path(source.path)
    return client.upload(source.path, name=source.name)


def _say_queued(answer: Submitted, source: Source, *, as_json: bool) -> None:
    if as_json:
        printing.give_json({"id": answer.id, "status": answer.status})
    else:
        printing.say(f"{answer.id}  {source}" if sys.stdout.isatty() else answer.id)
