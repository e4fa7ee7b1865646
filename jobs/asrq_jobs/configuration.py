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
from asrq_jobs.settings import DOTENV_FILE, PREFIX, TOML_FILE, Settings

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
    try:
        return Settings(**given).with_plugins({name: value for name, (value, _) in _of_plugins().items()})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        message = re.sub(r"^Value error, ", "", first["msg"])
        field = Settings.model_fields.get(name)
        raise SettingsError(
            f"Setting {name}: {message}." if name else f"Settings: {message}.",
            hint=f"{PREFIX}{name.upper()}: {field.description}" if field else None,
        ) from None


def _refuse_unknown_names() -> None:
    """A misspelt name would otherwise be a setting that silently does nothing."""
    given = [(name, "the environment") for name in os.environ]
    given += [
        (name, DOTENV_FILE) for name in dotenv_values(DOTENV_FILE)
    ]  # shared with compose: other names are not ours
    for name, where in given:
        plain = name.upper().removeprefix(PREFIX).lower()
        if name.upper().startswith(PREFIX) and plain not in Settings.model_fields and not plugins.owner(plain):
            raise SettingsError(f"Unknown setting {name} in {where}.", hint=_nearest(plain))
    for name in _toml()():
        if name not in Settings.model_fields and not plugins.owner(name):
            raise SettingsError(f"Unknown setting {name!r} in {TOML_FILE}.", hint=_nearest(name))


def _of_plugins() -> dict[str, tuple[Any, str]]:
    """Return what is set for backends that were installed beside asrq, with where it comes from."""
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
    near = difflib.get_close_matches(name, Settings.model_fields, n=1)
    return f"Did you mean {PREFIX}{near[0].upper()}?" if near else "See docs/reference/settings.md."


def origins() -> dict[str, str]:
    """Return where each setting comes from: environment, .env, asrq.toml or default."""
    sources: list[tuple[str, PydanticBaseSettingsSource]] = [
        ("environment", EnvSettingsSource(Settings)),
        (DOTENV_FILE, DotEnvSettingsSource(Settings)),
        (TOML_FILE, _toml()),
    ]
    found = dict.fromkeys(Settings.model_fields, "default")
    for label, source in reversed(sources):
        found.update(dict.fromkeys(set(source()) & set(found), label))
    return found | {name: where for name, (_, where) in _of_plugins().items()}


def masked(settings: Settings) -> dict[str, str]:
    """Return every setting as text with secrets hidden: what `asrq config` prints."""
    shown = {name: _shown(getattr(settings, name)) for name in Settings.model_fields}
    shown["audio_roots"] = os.pathsep.join(map(str, settings.audio_roots))
    for name in ("http_models", "http_origins", "server_languages", "url_schemes"):
        shown[name] = ",".join(getattr(settings, name))
    # What of them is a secret, only their backend knows.
    return shown | {
        name: "**********" if _SECRET.search(name) else _shown(value) for name, value in settings.of_plugins.items()
    }


def _shown(value: object) -> str:
    text = str(value)
    return redacted_url(text) if "://" in text else text
