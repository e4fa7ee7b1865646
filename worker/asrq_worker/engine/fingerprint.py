"""What decides a text beside the samples and the options of a chunk, as one short name; reads versions and files."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from asrq_worker.backends.base import BackendConfig, Identity

_OF_NO_MATTER = frozenset({"api_key", "concurrency", "timeout_s", "max_batch"})
"""Options that change who may ask, how much at once and how patiently, but no text."""


def fingerprint(
    identity: Identity, config: BackendConfig, packages: Iterable[str], folders: Iterable[Path] = ()
) -> str:
    """Return 16 hexadecimal digits that differ where a text may differ.

    They cover what is loaded (backend, model, revision, device, number type), the options of the backend (beam size,
    token limit, address of a server, …), the versions of `packages` and of asrq itself, whose code judges texts, and
    the files in `folders`, by name, size and time of change: a model there may be replaced by another.
    Threads and processes are left out: they change no text.
    """
    options = sorted((name, repr(value)) for name, value in config.options.items() if name not in _OF_NO_MATTER)
    files = [entry for folder in folders for entry in _files(folder)]
    decides = repr((sorted(asdict(identity).items()), config.model, options, versions("asrq", *packages), files))
    return hashlib.sha256(decides.encode()).hexdigest()[:16]


def versions(*packages: str) -> tuple[tuple[str, str], ...]:
    """Return each package with its version; `none` where it is not installed."""
    return tuple((name, _version(name)) for name in packages)


def _files(folder: Path) -> list[tuple[str, int, int]]:
    found = ((path, path.stat()) for path in folder.rglob("*") if path.is_file())
    return sorted((path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns) for path, stat in found)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
