"""Which backends there are: ours, and those installed beside asrq. One is imported only when it is asked for."""

from __future__ import annotations

import importlib

from asrq_jobs import plugins
from asrq_jobs.errors import SettingsError
from asrq_worker.backends.base import Backend

_FOR_TESTS = {
    "fake": "asrq_worker.backends.fake:FakeBackend",
    "other": "asrq_worker.backends.fake:OtherFakeBackend",
}


def names() -> tuple[str, ...]:
    """Return the names a user can choose from."""
    return (*plugins.OURS, *(name for name in plugins.installed() if name not in plugins.OURS))


def known(name: str) -> bool:
    """Return whether there is a backend called `name` on this host."""
    return name in names() or name in _FOR_TESTS


def backend_class(name: str) -> type[Backend]:
    """Return the backend called `name`.

    Raises:
        SettingsError: there is none, or it was installed and cannot be used.
    """
    ours = {each: f"asrq_worker.backends.{each}.backend:{each.capitalize()}Backend" for each in plugins.OURS}
    where = (ours | _FOR_TESTS).get(name)
    if where is None:
        return _installed(name)
    module, _, attribute = where.partition(":")
    found: type[Backend] = getattr(importlib.import_module(module), attribute)
    return found


def _installed(name: str) -> type[Backend]:
    point = plugins.installed().get(name)
    if point is None:
        raise SettingsError(f"There is no backend {name!r}.", hint=f"Backends: {', '.join(names())}.")
    try:
        found = point.load()
    except Exception as error:  # noqa: BLE001  # another project's module may raise anything
        raise SettingsError(
            f"The backend {name} is installed, but {point.value} cannot be imported: {error}.",
            hint="Install its package again, or choose another backend.",
        ) from None
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise SettingsError(
            f"The backend {name} is installed, but {point.value} is no backend.", hint="It has to derive from Backend."
        )
    return found
