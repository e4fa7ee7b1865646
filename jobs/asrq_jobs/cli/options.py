"""Options that several commands share, and those that make a request."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import click

from asrq_jobs.cli import numbers
from asrq_jobs.cli.norms import Decorated, norms_options
from asrq_jobs.errors import InvalidRequestError, UsageError
from asrq_jobs.formats import FORMATS
from asrq_jobs.request import LANES, Channels, PathAudio, Request, Task
from asrq_jobs.result import Keep


def _within(field: str) -> numbers.Whole:
    """Return the range of a whole number, as `asrq.request/1` has it."""
    rules = Request.model_fields[field].metadata
    return numbers.Whole(
        min=next((rule.ge for rule in rules if hasattr(rule, "ge")), None),
        max=next((rule.le for rule in rules if hasattr(rule, "le")), None),
    )


class NamedPath(click.Path):
    """A path as people name one: an empty name, as of a variable that is not set, is not the working folder.

    What cannot be read is no wrong use: who opens it tells so.
    """

    def __init__(self, *, path_type: type[Path] | None = None, dir_okay: bool = True, file_okay: bool = True) -> None:
        super().__init__(readable=False, path_type=path_type, dir_okay=dir_okay, file_okay=file_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty name; otherwise see `click.Path`."""
        if value == "":
            self.fail("The name is empty.", param, ctx)
        return super().convert(value, param, ctx)


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout, nothing else.")

ids_argument = click.argument("job_ids", metavar="ID…", nargs=-1, required=True)


def output_options(command: Decorated) -> Decorated:
    """Add the options that say how transcripts are shown."""
    command = norms_options(command)
    for option in (
        json_option,
        click.option(
            "--output",
            "folder",
            type=NamedPath(path_type=Path, file_okay=False),
            metavar="DIR",
            help="Write each transcript to a file of its own here, as soon as it is there. Nothing is overwritten: "
            "where the name is taken it gets a number, and a line on stderr says so. Default: standard output.",
        ),
        click.option(
            "--format",
            "form",
            type=click.Choice(FORMATS),
            help="Of transcripts; default: txt, or json with --json, which needs --output for another one.",
        ),
    ):
        command = option(command)
    return command


def speech_options(command: Decorated) -> Decorated:
    """Add the options that say how to transcribe, under the names of the fields of `asrq.request/1`."""
    for option in (
        click.option(
            "--timeout",
            "timeout_s",
            type=_within("timeout_s"),
            metavar="SECONDS",
            help="Longest that one attempt may run; default: by the length of the audio.",
        ),
        click.option(
            "--hotwords",
            multiple=True,
            callback=_split,
            metavar="TEXT",
            help="Names and terms to expect, comma separated; may be repeated. Default: none.",
        ),
        click.option(
            "--prompt", metavar="TEXT", help="Text that precedes the speech: style, names, spelling; default: none."
        ),
        click.option(
            "--track",
            type=_within("track"),
            metavar="N",
            help="Number of the audio track, from 1; default: the one that the file marks as the default, or the first "
            "in which somebody speaks.",
        ),
        click.option(
            "--channels",
            type=click.Choice(get_args(Channels)),
            help="separate hears each of two channels for itself, as of calls; default: mix.",
        ),
        *(
            click.option(f"--{name.replace('_', '-')}", name, type=_within(name), metavar="N", help=text)
            for name, text in (
                ("max_speakers", "There are at most so many speakers; needs --diarize. Default: as many as are heard."),
                ("min_speakers", "There are at least so many; needs --diarize. Default: 1."),
                ("speakers", "There are so many; needs --diarize. Default: as many as are heard."),
            )
        ),
        click.option("--diarize", is_flag=True, help="Tell speakers apart by their voices."),
        click.option("--word-timestamps", is_flag=True, help="Times of each word."),
        click.option(
            "--task", type=click.Choice(get_args(Task)), help="translate gives English text; default: transcribe."
        ),
        click.option(
            "--languages",
            multiple=True,
            callback=_split,
            metavar="CODE",
            help="Those that auto is to choose among, comma separated; may be repeated. Default: all it knows.",
        ),
        click.option("--language", metavar="CODE", help="ru, pt-BR, English, …, or auto to detect it; default: auto."),
    ):
        command = option(command)
    return command


def queue_options(command: Decorated) -> Decorated:
    """Add the options that say where and how often a job may run, under the names of the request's fields."""
    for option in (
        click.option(
            "--queue-ttl",
            "queue_ttl_s",
            type=_within("queue_ttl_s"),
            metavar="SECONDS",
            help="Fail as expired if no worker takes it from its lane within this time; default: no limit.",
        ),
        click.option(
            "--webhook",
            metavar="URL",
            help="URL that gets a POST when the job has completed or failed, where allowed; default: none.",
        ),
        click.option(
            "--retries",
            type=_within("retries"),
            metavar="N",
            help="Further attempts after a failure that may pass; default: as many as the worker's ASRQ_MAX_ATTEMPTS "
            "allows.",
        ),
        click.option(
            "--backend",
            metavar="NAME",
            help="Only a worker with this backend takes the job, which waits for one if any is registered, else fails. "
            "Default: any.",
        ),
        click.option(
            "--model",
            metavar="NAME",
            help="Only a worker with this model (tiny.en, base, …) takes the job, as with --backend; default: any.",
        ),
        click.option("--lane", type=click.Choice(LANES), help="interactive is served first; default: batch."),
        click.option(
            "--keep",
            type=click.Choice(get_args(Keep)),
            help="nothing erases the job, text and audio, once its result was fetched or delivered; default: result.",
        ),
        click.option(
            "--tag",
            "tags",
            multiple=True,
            callback=_several,
            metavar="WORD",
            help="Word to find the job by, which comes back with its result; may be repeated. Default: none.",
        ),
        click.option(
            "--metadata",
            multiple=True,
            callback=_pairs,
            metavar="NAME=TEXT",
            help="Text that comes back with the result; may be repeated. Default: none.",
        ),
    ):
        command = option(command)
    return command


def group_options(command: Decorated) -> Decorated:
    """Add the options that make jobs a group; `grouped` reads them."""
    for option in (
        click.option(
            "--group-webhook",
            metavar="URL",
            help="URL that gets a POST when all jobs of the group have ended, where allowed; default: none.",
        ),
        click.option(
            "--group-size",
            type=numbers.Whole(min=1),
            metavar="N",
            help="How many jobs the group has, if not all of them are submitted at once; default: as many as sources.",
        ),
        click.option(
            "--group", metavar="NAME", help="Make the jobs a group, see `asrq status --group`; default: none."
        ),
    ):
        command = option(command)
    return command


def grouped(name: str | None, size: int | None, webhook: str | None, *, sources: int) -> dict[str, Any]:
    """Return the field `group` of a request, nothing without a name.

    Raises:
        UsageError: there is a size or a webhook of no group.
    """
    if name is None:
        if size is not None or webhook is not None:
            raise UsageError("--group-size and --group-webhook need --group.", hint="Add --group NAME.")
        return {}
    return {"group": {"id": name, "size": size or sources, "webhook": webhook}}


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that were given on the command line: the others keep the request's defaults.

    Raises:
        UnknownLanguageError: a language is not known.
        UsageError: anything else makes no request; the sentence names the options.
    """
    found = {name: value for name, value in fields.items() if value is not None}
    try:
        Request.build(**{"id": "id", "audio": PathAudio(path="-")} | found)
    except InvalidRequestError as error:
        context = click.get_current_context()
        raise UsageError(
            _naming_options(error.message, context.command), hint=f"See `{context.command_path} --help`."
        ) from None
    return found


def _naming_options(sentence: str, command: click.Command) -> str:
    """Return a sentence about fields of a request as one about the options of a command."""
    names: dict[str | None, str] = {}
    for each in command.params:
        if isinstance(each, click.Option):
            names |= dict.fromkeys((each.name, each.opts[0].lstrip("-")), each.opts[0])

    def option(field: re.Match[str]) -> str:
        return names.get(field[1].replace(".", "-")) or names.get(field[1].partition(".")[0], str(field[0]))

    sentence = re.sub(r"^Field '([^']+)'", option, sentence)
    return re.sub(r"(?<![\w-])(\w+)", lambda word: names.get(word[0].lower(), str(word[0])), sentence)


def _several(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str] | None:  # noqa: ARG001  # click's signature
    return list(values) or None


def _pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    pairs = [value.partition("=") for value in values]
    for number, (value, (name, equals, _)) in enumerate(zip(values, pairs, strict=True)):
        if not equals:
            raise click.BadParameter(f"{value!r} is not NAME=TEXT.", context, parameter)
        if not name:
            raise click.BadParameter(f"{value!r} has no name before the =.", context, parameter)
        if name in (earlier for earlier, _, _ in pairs[:number]):
            raise click.BadParameter(f"{name!r} is given twice.", context, parameter)
    return {name: text for name, _, text in pairs} or None


def _split(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str] | None:  # noqa: ARG001  # click's signature
    words = [word.strip() for value in values for word in value.split(",") if word.strip()]
    return words or None
