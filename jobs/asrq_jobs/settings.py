"""The settings of asrq as they are used: all of them together, and what follows from them. `configuration.load` reads
them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import PrivateAttr, model_validator

from asrq_jobs import plugins
from asrq_jobs.declarations import DOTENV_FILE, PREFIX, TOML_FILE, Declared, expanded
from asrq_jobs.lanes import parse_lanes

__all__ = ["DOTENV_FILE", "FIRST", "PREFIX", "TOML_FILE", "Settings", "expanded", "groups"]

FIRST = (
    "redis_url", "backend", "model", "model_download", "device", "lanes", "audio_roots", "result_ttl_s", "metrics_port",
    "log_level",
)  # fmt: skip
"""The settings that an operator needs first."""
_GROUPS = {
    "redis_url": "Queue",
    "backend": "Workers",
    "engine_memory_mb": "Engines",
    "audio_roots": "Audio",
    "lease_s": "Safety",
    "webhook_secret": "Webhooks",
    "http_models": "HTTP",
    "log_level": "Monitoring",
}
"""The first setting of each group, in the order of the class."""


class Settings(Declared):
    """All settings, client and worker. Durations are seconds, sizes MiB."""

    _of_backends: dict[str, Any] = PrivateAttr(default_factory=dict)
    """What was set of the settings that backends declare, by name."""

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        if self.failure_ttl_s < self.result_ttl_s:
            raise ValueError("failure_ttl_s must not be shorter than result_ttl_s: raise it, or lower result_ttl_s")
        if self.decoder_stall_s < self.lease_s / 3:
            raise ValueError("decoder_stall_s must be at least a third of lease_s, or live work looks dead: raise it")
        if self.device == "cpu" and self.compute_type == "float16":
            raise ValueError("compute_type float16 needs device=cuda: use int8, float32 or bfloat16 on a CPU")
        return self

    @property
    def fallback_backend(self) -> str | None:
        """The fallback, if there is one besides the backend itself."""
        return None if self.fallback in {"none", self.backend} else self.fallback

    def model_of(self, backend: str) -> str:
        """Return the model that a backend is to load.

        Raises:
            SettingsError: see `options_of`.
        """
        if self.model is not None and backend == self.backend:
            return self.model
        return str(self.all_of(backend).get("model") or self.model or "")

    def options_of(self, backend: str) -> dict[str, Any]:
        """Return the options of a backend but for its model: of ours all, of others those that are set, as text.

        Raises:
            SettingsError: one does not fit.
        """
        return {name: value for name, value in self.all_of(backend).items() if name != "model"}

    def with_backends(self, given: Mapping[str, Any]) -> Settings:
        """Return these settings with those that backends declare, such as `beam_size` or `clap_threshold`."""
        copy = self.model_copy()
        copy._of_backends = dict(given)
        return copy

    @property
    def of_backends(self) -> Mapping[str, Any]:
        """What is set of the settings that backends declare."""
        return self._of_backends

    def all_of(self, backend: str) -> dict[str, Any]:
        """The same, and its model if it has a setting for it."""
        given = ((name, value) for name, value in self._of_backends.items() if plugins.owner(name) == backend)
        return plugins.typed(backend, {plugins.option_name(backend, name): value for name, value in given})

    @property
    def slots(self) -> dict[str, int]:
        """Slots per lane."""
        return parse_lanes(self.lanes)

    @property
    def http_names(self) -> dict[str, str]:
        """Model of each name for clients over HTTP; empty: whatever the workers serve."""
        pairs = (pair.partition("=") for pair in self.http_models)
        return {name.strip(): model.strip() for name, _, model in pairs}


def groups() -> dict[str, list[str]]:
    """Return the names of all settings by group: those needed first, then the others by subject, then by backend."""
    found: dict[str, list[str]] = {"First": list(FIRST)}
    group = ""
    for name in Settings.model_fields:
        group = _GROUPS.get(name, group)
        if name not in FIRST:
            found.setdefault(group, []).append(name)
    return found | {f"Backend {name}": names for name in plugins.OURS if (names := list(plugins.declared(name)))}
