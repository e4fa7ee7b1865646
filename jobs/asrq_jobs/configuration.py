"""Reads the settings: environment `ASRQ_*`, then `.env`, then `asrq.toml`, then defaults.

Command-line flags are passed to `load` as overrides and win over all of them. Settings are read once, at the
start of a command, and passed down; nothing else looks at the environment.
"""

from __future__ import annotations

import difflib
import os
import re
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_settings import (
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from asrq_jobs import plugins
from asrq_jobs.errors import SettingsError
from asrq_jobs.redaction import redacted_url
from asrq_jobs.settings import DOTENV_FILE, PREFIX, TOML_FILE, Settings, groups

_SECRET = re.compile("(token|key|secret|password|passwd|credentials?)$")


def load(**overrides: Any) -> Settings:
    """Read the settings; overrides that are None are left out.

    Raises:
        SettingsError: a value does not fit, or a name is unknown, as the sentence says; or a file cannot be read.
    """
    try:
        return _load(overrides)
    except OSError as error:  # of the two files: the environment is read already
        where = error.filename or "The settings"
        raise SettingsError(
            f"{where} cannot be read: {error.strerror or error}.",
            hint="Let this user read it, or start asrq in another folder.",
        ) from None


def _load(overrides: dict[str, Any]) -> Settings:
    _refuse_unknown_names()
    given = {name: value for name, value in overrides.items() if value is not None}
    of_backends = {name: value for name, (value, _) in _of_backends().items()}
    of_backends |= {name: given.pop(name) for name in set(given) - set(Settings.model_fields)}
    try:
        settings = Settings(**given).with_backends(of_backends)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        message = re.sub(r"^Value error, ", "", first["msg"])
        field = Settings.model_fields.get(name)
        raise SettingsError(
            f"Setting {name}: {message}." if name else f"Settings: {message}.",
            hint=f"{PREFIX}{name.upper()}: {field.description}" if field else None,
        ) from None
    _check_backends(settings)
    return settings


def _check_backends(settings: Settings) -> None:
    for backend in {plugins.owner(name) for name in settings.of_backends} - {None}:
        timeout_s = settings.options_of(backend or "").get("timeout_s")
        serves = backend in {settings.backend, settings.fallback}
        if serves and isinstance(timeout_s, float) and timeout_s >= settings.engine_stall_s:
            name = plugins.setting_name(backend or "", "timeout_s")
            raise SettingsError(
                f"Settings: {name} must be below engine_stall_s, or the engine is taken for hung.",
                hint=f"Lower {name}, or raise engine_stall_s.",
            )


def _refuse_unknown_names() -> None:
    """A misspelt name would otherwise be a setting that silently does nothing."""
    given = [(name, "the environment") for name in os.environ]
    given += [
        (name, DOTENV_FILE) for name in dotenv_values(DOTENV_FILE)
    ]  # shared with compose: other names are not ours
    for name, where in given:
        plain = name.upper().removeprefix(PREFIX).lower()
        if name.upper().startswith(PREFIX) and not _is_known(plain):
            raise SettingsError(f"Unknown setting {name} in {where}.", hint=_nearest(plain))
    for name in _toml()():
        if not _is_known(name):
            raise SettingsError(f"Unknown setting {name!r} in {TOML_FILE}.", hint=_nearest(name))


def _is_known(name: str) -> bool:
    backend = None if name in Settings.model_fields else plugins.owner(name)
    if backend is None:
        return name in Settings.model_fields
    declared = plugins.declared(backend)
    return name in declared or not declared


def _of_backends() -> dict[str, tuple[Any, str]]:
    """Return what is set of the settings that backends declare, with where it comes from."""
    found: dict[str, tuple[Any, str]] = {}
    for where, given, prefix in (
        (TOML_FILE, _toml()(), ""),
        (DOTENV_FILE, dotenv_values(DOTENV_FILE), PREFIX),
        ("environment", os.environ, PREFIX),
    ):
        for name, value in given.items():
            plain = name.upper().removeprefix(prefix).lower()
            if (
                value
                and name.upper().startswith(prefix)
                and plain not in Settings.model_fields
                and plugins.owner(plain)
            ):
                found[plain] = value, where
    return found


def _toml() -> TomlConfigSettingsSource:
    try:
        return TomlConfigSettingsSource(Settings)
    except ValueError as error:
        raise SettingsError(f"{TOML_FILE} cannot be read: {error}.", hint="Correct it, or remove it.") from None


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, [known for names in groups().values() for known in names], n=1)
    return f"Did you mean {PREFIX}{near[0].upper()}?" if near else "See docs/reference/settings.md."


def origins() -> dict[str, str]:
    """Return where each setting comes from: environment, .env, asrq.toml or default."""
    sources: list[tuple[str, PydanticBaseSettingsSource]] = [
        ("environment", EnvSettingsSource(Settings)),
        (DOTENV_FILE, DotEnvSettingsSource(Settings)),
        (TOML_FILE, _toml()),
    ]
    found = dict.fromkeys(Settings.model_fields, "default")
    of_backends = {name: "default" for backend in plugins.OURS for name in plugins.declared(backend)}
    for label, source in reversed(sources):
        found.update(dict.fromkeys(set(source()) & set(found), label))
    return found | of_backends | {name: where for name, (_, where) in _of_backends().items()}


def masked(settings: Settings) -> dict[str, str]:
    """Return every setting as text with secrets hidden, by group: what `asrq config` prints.

    Raises:
        SettingsError: one of a backend does not fit.
    """
    of_ours = {
        plugins.setting_name(backend, option): value
        for backend in plugins.OURS
        if plugins.declared(backend)
        for option, value in settings.all_of(backend).items()
    }
    shown = {
        name: _shown(name, of_ours[name] if name in of_ours else getattr(settings, name))
        for names in groups().values()
        for name in names
    }
    # What of the others is a secret, only their backend knows.
    return shown | {
        name: "**********" if _SECRET.search(name) else _shown(name, value)
        for name, value in settings.of_backends.items()
        if name not in shown
    }


def _shown(name: str, value: object) -> str:
    if isinstance(value, tuple):
        return (os.pathsep if name == "audio_roots" else ",").join(map(str, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()  # as the reference has it
    text = str(value)
    return redacted_url(text) if "://" in text else text
