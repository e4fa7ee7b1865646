"""`asrq doctor`: all checks of this machine and its queue, each with its fix."""

from __future__ import annotations

from collections.abc import Iterator

from asrq_jobs import configuration
from asrq_jobs.errors import SettingsError
from asrq_worker.doctor import host, queue
from asrq_worker.doctor.check import Check, guarded
from asrq_worker.queue import rq_prefix


def examine() -> Iterator[Check]:
    """Yield the findings, each as soon as it is known."""
    yield host.python()
    try:
        config = configuration.load()
    except SettingsError as error:
        yield Check("settings", "fail", error.message, error.hint)
        return
    yield guarded("settings", _settings)
    yield from queue.examine(config)
    yield from host.examine(config)


def _settings() -> Check:
    rq_prefix.refuse()
    return Check("settings", "ok", "Settings are valid.")
