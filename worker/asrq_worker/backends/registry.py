"""Which backends there are. A backend's module is imported only when it is asked for."""

from __future__ import annotations

import importlib

from asrq_jobs.errors import SettingsError
from asrq_worker.backends.base import Backend

_PUBLIC = {
    "whisper": "asrq_worker.backends.whisper.backend:WhisperBackend",
    "qwen": "asrq_worker.backends.qwen.backend:QwenBackend",
    "server": "asrq_worker.backends.server.backend:ServerBackend",
    "onnx": "asrq_worker.backends.onnx.backend:OnnxBackend",
}
_FOR_TESTS = {
    "fake": "asrq_worker.backends.fake:FakeBackend",
    "other": "asrq_worker.backends.fake:OtherFakeBackend",
}


def names() -> tuple[str, ...]:
    """Return the names a user can choose from."""
    return tuple(_PUBLIC)


def backend_class(name: str) -> type[Backend]:
    """Return the backend called `name`.

    Raises:
        SettingsError: there is none.
    """
    where = (_PUBLIC | _FOR_TESTS).get(name)
    if where is None:
        raise SettingsError(f"There is no backend {name!r}.", hint=f"Backends: {', '.join(_PUBLIC)}.")
    module, _, attribute = where.partition(":")
    found: type[Backend] = getattr(importlib.import_module(module), attribute)
    return found
