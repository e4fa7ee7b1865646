"""Numbers as options: what is none, or is outside the limits, is told with what would do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import click

_Context = click.Context | None
_Parameter = click.Parameter | None


class Whole(click.IntRange):
    """A whole number, both limits included."""

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> Any:
        """Return the number; see `click.ParamType.convert`."""
        return _converted(super().convert, "a whole number", self, value, param, ctx)


class Number(click.FloatRange):
    """Any number, both limits included."""

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> Any:
        """Return the number; see `click.ParamType.convert`."""
        return _converted(super().convert, "a number", self, value, param, ctx)


def _converted(
    convert: Callable[[Any, _Parameter, _Context], Any],
    kind: str,
    limits: Whole | Number,
    value: Any,
    param: _Parameter,
    ctx: _Context,
) -> Any:
    try:
        found = convert(value, param, ctx)
    except click.BadParameter:
        found = math.nan
    if math.isnan(found):
        limits.fail(f"{value!r} is not {kind}{_within(limits.min, limits.max)}.", param, ctx)
    return found


def _within(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f" of at least {least}"
    return "" if most is None else f" of at most {most}"
