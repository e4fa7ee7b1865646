"""Options that only one backend knows: it declares them as a dataclass, and here what was set is read into it."""

from __future__ import annotations

import difflib
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from asrq_jobs.errors import SettingsError
from asrq_jobs.plugins import setting_name
from asrq_jobs.settings import PREFIX
from asrq_worker.backends.base import BackendConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")


def read(kind: type[Options], config: BackendConfig, *, backend: str) -> Options:
    """Return the options of a backend; text from the environment becomes what the dataclass declares.

    Raises:
        SettingsError: one is unknown, is missing or does not fit. The value is not in the sentence: it may be a secret.
    """
    known = {setting_name(backend, field.name): field.name for field in fields(kind)}
    for name in config.options:
        if name not in known.values():
            wrong = setting_name(backend, name)
            near = difflib.get_close_matches(wrong, known, n=1)
            hint = f"Did you mean {_variable(near[0])}?" if near else f"It has: {', '.join(map(_variable, known))}."
            raise SettingsError(f"The backend {backend} has no setting {_variable(wrong)}.", hint=hint)
    try:
        return TypeAdapter(kind).validate_python(config.options)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = _variable(setting_name(backend, str(first["loc"][0]))) if first["loc"] else f"of the backend {backend}"
        raise SettingsError(f"Setting {name}: {first['msg']}.", hint="Correct it, or leave it out.") from None


def _variable(name: str) -> str:
    return PREFIX + name.upper()
