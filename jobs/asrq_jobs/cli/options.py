"""Options that several commands share, and those that make a request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from asrq_jobs.formats import FORMATS
from asrq_jobs.request import LANES, Request, Task

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _within(field: str) -> click.IntRange:
    """Return the range of a whole number, as `asrq.request/1` has it."""
    rules = Request.model_fields[field].metadata
    return click.IntRange(
        min=next((rule.ge for rule in rules if hasattr(rule, "ge")), None),
        max=next((rule.le for rule in rules if hasattr(rule, "le")), None),
    )


class NamedPath(click.Path):
    """A path as people name one: an empty name, as of a variable that is not set, is not the working folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty name; otherwise see `click.Path`."""
        if value == "":
            self.fail("The name is empty.", param, ctx)
        return super().convert(value, param, ctx)


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout, nothing else.")

ids_argument = click.argument("job_ids", metavar="ID…", nargs=-1, required=True)


def output_options(command: Decorated) -> Decorated:
    """Add the options that say how transcripts are shown."""
    for option in (
        json_option,
        click.option(
            "--output",
            "folder",
            type=NamedPath(path_type=Path, file_okay=False),
            metavar="DIR",
            help="Write each transcript to a file of its own here, as soon as it is there; nothing is overwritten. "
            "Default: standard output.",
        ),
        click.option(
            "--format",
            "form",
            type=click.Choice(FORMATS),
            help="Of transcripts; default: txt, or json with --json.",
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
            help="Told by a POST when the job has completed or failed, where allowed; default: none.",
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
            help="Only a worker with this backend will do: the job waits for one if any is registered, else it fails. "
            "Default: any.",
        ),
        click.option(
            "--model",
            metavar="NAME",
            help="Only a worker with this model (tiny.en, base, …) will do, likewise; default: any.",
        ),
        click.option("--lane", type=click.Choice(LANES), help="interactive is served first; default: batch."),
    ):
        command = option(command)
    return command


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that were given on the command line: the others keep the request's defaults."""
    return {name: value for name, value in fields.items() if value is not None}


def _split(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str] | None:  # noqa: ARG001  # click's signature
    words = [word.strip() for value in values for word in value.split(",") if word.strip()]
    return words or None
