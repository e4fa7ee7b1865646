"""`asrq doctor`: all checks of this machine and its queue, each with its fix."""

from __future__ import annotations

from collections.abc import Iterator

from asrq_jobs import configuration
from asrq_jobs.errors import SettingsError
from asrq_jobs.settings import Settings
from asrq_worker.backends import registry
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
    yield guarded("settings", lambda: _settings(config))
    policy = yield from queue.examine(config)
    backends = policy.backends if policy else filter(None, (config.backend, config.fallback_backend))
    yield from host.examine(config, filter(registry.known, backends))


def _settings(config: Settings) -> Check:
    rq_prefix.refuse()
    for setting, name in (("backend", config.backend), ("fallback", config.fallback_backend)):
        if name and not registry.known(name):
            raise SettingsError(
                f"Setting {setting}: there is no backend {name!r} on this host.",
                hint=f"Backends: {', '.join(registry.names())}.",
            )
    return Check("settings", "ok", "Settings are valid.")
