"""What is measured: a backend with a model."""

from __future__ import annotations

from dataclasses import dataclass

from asrq_jobs.errors import UsageError
from asrq_jobs.settings import Settings
from asrq_worker.backends.registry import backend_class


@dataclass(frozen=True)
class Target:
    """A backend and the model that it is to load."""

    backend: str
    model: str

    def __str__(self) -> str:
        return f"{self.backend}:{self.model}"


def parse(text: str, settings: Settings) -> Target:
    """Read `whisper:base`, `qwen:/path`, or a backend alone, whose model is then that of the settings.

    Raises:
        SettingsError: there is no such backend.
        UsageError: no model is named anywhere.
    """
    backend, _, model = text.partition(":")
    backend_class(backend)
    model = model or settings.model_of(backend)
    if not model:
        raise UsageError(f"--backend {text} names no model.", hint=f"Write --backend {backend}:MODEL.")
    return Target(backend, model)
