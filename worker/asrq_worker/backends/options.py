"""Options that only one backend knows: it declares them as a dataclass, and here what was set is read into it."""

from __future__ import annotations

import difflib
from dataclasses import fields

from asrq_jobs import plugins
from asrq_jobs.errors import SettingsError
from asrq_jobs.plugins import PREFIX, Options, setting_name
from asrq_worker.backends.base import BackendConfig


def read(options: type[Options], config: BackendConfig, *, backend: str) -> Options:
    """Return the options of a backend; text from the environment becomes what the dataclass declares.

    Raises:
        SettingsError: one is unknown, is missing or does not fit. The value is not in the sentence: it may be a secret.
    """
    known = {setting_name(backend, field.name): field.name for field in fields(options)}
    for name in config.options:
        if name not in known.values():
            wrong = setting_name(backend, name)
            near = difflib.get_close_matches(wrong, known, n=1)
            hint = f"Did you mean {_variable(near[0])}?" if near else f"It has: {', '.join(map(_variable, known))}."
            raise SettingsError(f"The backend {backend} has no setting {_variable(wrong)}.", hint=hint)
    return plugins.read(options, config.options, backend=backend)


def _variable(name: str) -> str:
    return PREFIX + name.upper()
