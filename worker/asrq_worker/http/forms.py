"""What fields of a form, which are texts, and of JSON stand for."""

from __future__ import annotations

import json

from pydantic import BeforeValidator


def read_object(value: object) -> object:
    """Read an object from a form, which has only texts; what is no JSON is refused as what it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def words(value: object) -> object:
    """Read words that commas separate; anything but a text is left as it is."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004  # what pydantic turns into an error of the field
    return value


NO_BOOL = BeforeValidator(_number)
"""For a field with a number: pydantic takes true for 1."""
