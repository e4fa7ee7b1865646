"""Options that say how subtitles are cut."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import click

from asrq_jobs.cli import numbers
from asrq_jobs.errors import UsageError
from asrq_jobs.subtitles import NORMS, Norms

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(frozen=True)
class _Norm:
    """An option for a field of `Norms`; the field is `per` times what people write."""

    name: str
    type: click.ParamType[Any]
    metavar: str
    help: str
    per: int = 1


_NORMS = {
    "line_chars": _Norm(
        "--max-line-width", numbers.Whole(10, 1000), "N",
        "Characters in a line of subtitles, of which wide ones count twice; default: 42.",
    ),
    "lines": _Norm("--max-line-count", numbers.Whole(1, 10), "N", "Lines of a subtitle; default: 2."),
    "line_words": _Norm(
        "--max-words-per-line", numbers.Whole(1), "N", "Words in a line of subtitles; default: all that fit."
    ),
    "chars_per_s": _Norm(
        "--max-cps", numbers.Whole(1, 100), "N",
        "Characters a second that people are to read, where the speech allows; default: 20.",
    ),
    "shortest_ms": _Norm(
        "--min-duration", numbers.Number(0.1, 10), "SECONDS",
        "Shortest that a subtitle is shown; default: 1.", per=1000,
    ),
    "longest_ms": _Norm(
        "--max-duration", numbers.Number(1, 60), "SECONDS",
        "Longest that a subtitle is shown; default: 7.", per=1000,
    ),
}  # fmt: skip


def norms_options(command: Decorated) -> Decorated:
    """Add the options that say how subtitles are cut; the command gets `norms`.

    Each has a second name with underscores, as some have in OpenAI's program `whisper`.
    """

    @functools.wraps(command)
    def with_norms(**given: Any) -> Any:
        chosen = {field: given.pop(field) for field in _NORMS}
        norms = Norms(
            **{field: round(value * _NORMS[field].per) for field, value in chosen.items() if value is not None}
        )
        if norms.shortest_ms > norms.longest_ms:
            raise UsageError("Subtitles cannot be shown for longer than --max-duration at the least.", hint="Set both.")
        return command(**given, norms=norms)

    wrapped = cast("Decorated", with_norms)
    for field, norm in reversed(_NORMS.items()):
        names = dict.fromkeys((norm.name, f"--{norm.name[2:].replace('-', '_')}"))
        wrapped = click.option(*names, field, type=norm.type, metavar=norm.metavar, help=norm.help)(wrapped)
    return wrapped


def of_norms(norms: Norms) -> list[str]:
    """Return the options that say norms; none for the usual ones."""
    said = {field: getattr(norms, field) for field in _NORMS if getattr(norms, field) != getattr(NORMS, field)}
    return [word for field, value in said.items() for word in (_NORMS[field].name, f"{value / _NORMS[field].per:g}")]
