"""What decides a text beside the samples and the options of a chunk, as one short name. Pure but for the versions."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterable
from dataclasses import asdict

from asrq_worker.backends.base import BackendConfig, Identity

_OF_NO_MATTER = frozenset({"api_key", "concurrency", "timeout_s", "max_batch"})
"""Options that change who may ask, how much at once and how patiently, but no text."""


def fingerprint(identity: Identity, config: BackendConfig, packages: Iterable[str]) -> str:
    """Return 16 hexadecimal digits that differ where a text may differ.

    They cover what is loaded (backend, model, revision, device, number type), the options of the backend (beam size,
    token limit, address of a server, …), the versions of `packages` and of asrq itself, whose code judges texts.
    Threads and processes are left out: they change no text.
    """
    options = sorted((name, repr(value)) for name, value in config.options.items() if name not in _OF_NO_MATTER)
    versions = [(name, _version(name)) for name in ("asrq", *packages)]
    decides = repr((sorted(asdict(identity).items()), config.model, options, versions))
    return hashlib.sha256(decides.encode()).hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
