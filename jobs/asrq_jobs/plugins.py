"""Backends installed beside asrq: they make themselves known through the entry point group `asrq.backends`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

GROUP = "asrq.backends"


@cache
def installed() -> dict[str, EntryPoint]:
    """Return them by name. Nothing of theirs is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def owner(setting: str) -> str | None:
    """Return the backend that a setting is for, by its name in lower case without `ASRQ_`; None: no such backend."""
    names = [name for name in installed() if setting.startswith(setting_name(name, ""))]
    return max(names, key=len, default=None)


def setting_name(backend: str, option: str) -> str:
    """Return the name of the setting for an option of a backend: `clap_threshold`."""
    return f"{backend.lower().replace('-', '_')}_{option}"
