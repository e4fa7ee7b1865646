"""The backends there are, by name, and their settings: ours, and those installed beside asrq.

Others make themselves known through the entry point group `asrq.backends`. Ours declare their options in a module that
needs none of their packages, so that a client can check and show them. What the options of others may be is known only
where their backend is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from asrq_jobs.errors import SettingsError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

GROUP: Final = "asrq.backends"
OURS: Final = ("whisper", "qwen", "server", "onnx")
"""Each is the folder `asrq_worker/backends/<name>`, with its class in `backend.py` and its options in `options.py`."""
PREFIX: Final = "ASRQ_"

_WITHOUT_PREFIX = {"whisper": "beam_size"}  # its setting was there before backends had settings of their own

Options = TypeVar("Options", bound="DataclassInstance")


@cache
def installed() -> dict[str, EntryPoint]:
    """Return those installed beside asrq, by name. Nothing of theirs is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def owner(setting: str) -> str | None:
    """Return the backend that a setting is for, by its name in lower case without `ASRQ_`; None: no such backend."""
    for backend, option in _WITHOUT_PREFIX.items():
        if setting == option:
            return backend
    names = [name for name in (*OURS, *installed()) if setting.startswith(_prefix(name))]
    return max(names, key=len, default=None)


def setting_name(backend: str, option: str) -> str:
    """Return the name of the setting for an option of a backend: `clap_threshold`."""
    return option if _WITHOUT_PREFIX.get(backend) == option else f"{_prefix(backend)}{option}"


def option_name(backend: str, setting: str) -> str:
    """Return the option of a backend that a setting of it is for: `threshold`."""
    return setting if _WITHOUT_PREFIX.get(backend) == setting else setting.removeprefix(_prefix(backend))


@cache
def declared(backend: str) -> dict[str, FieldInfo]:
    """Return the settings that one of our backends declares, by name; none where they are not known here.

    That is so for the backends of others, and where only the client was installed.
    """
    options = _class(backend)
    return {setting_name(backend, name): field for name, field in _fields(options).items()} if options else {}


@cache
def _class(backend: str) -> type[DataclassInstance] | None:
    try:
        found: type[DataclassInstance] = importlib.import_module(f"asrq_worker.backends.{backend}.options").Options
    except ModuleNotFoundError:
        return None
    return found if backend in OURS else None


def _fields(options: type[DataclassInstance]) -> dict[str, FieldInfo]:
    """Return what a dataclass of options says of each: type, limits, default and meaning."""
    hints = get_type_hints(options, include_extras=True)
    return {
        name: FieldInfo.from_annotated_attribute(hints[name], field.default)
        for name, field in options.__dataclass_fields__.items()
    }


def typed(backend: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a backend, those that are not given with their defaults, as its declaration has them.

    Those of a backend that is not known here are returned as they are given.

    Raises:
        SettingsError: one does not fit.
    """
    options = _class(backend)
    return dict(vars(read(options, given, backend=backend))) if options else dict(given)


def read(options: type[Options], given: Mapping[str, Any], *, backend: str) -> Options:
    """Return what was given as an instance of a backend's dataclass of options; text becomes what it declares.

    Raises:
        SettingsError: one is missing or does not fit. The value is not in the sentence: it may be a secret.
    """
    try:
        checked: Options = _adapter(options).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        option = str(first["loc"][0]) if first["loc"] else ""
        field = _fields(options).get(option)
        name = setting_name(backend, option) if option else f"of the backend {backend}"
        said = first["msg"].removeprefix("Value error, ")
        hint = f"{PREFIX}{name.upper()}: {field.description}" if field and field.description else None
        raise SettingsError(
            f"Setting {name}: {said}.", hint=hint or f"Correct {PREFIX}{name.upper()}, or leave it out."
        ) from None
    return checked


@cache
def _adapter(options: type[Any]) -> TypeAdapter[Any]:
    """Return what checks such options: making it takes milliseconds, and workers ask several times for each job."""
    return TypeAdapter(options)


def _prefix(backend: str) -> str:
    return f"{backend.lower().replace('-', '_')}_"
