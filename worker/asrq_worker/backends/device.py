"""Where a backend computes, and whether its model fits there: decisions without the libraries of the models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from asrq_jobs.errors import DeviceUnavailableError, OutOfMemoryError
from asrq_worker.backends import groups

RUNTIME_MB = 150
"""What Python and a library for inference take before any weights (measured: 70 MiB with CTranslate2, 200 with ONNX
Runtime)."""

_CACHE: dict[groups.Version, str] = {1: "total_inactive_file", 2: "inactive_file"}
"""What the kernel gives back by itself, as `memory.stat` calls it."""


def choose_device(wanted: str, *, cuda: bool, library: str, fix: str) -> str:
    """Return `cpu` or `cuda`; `cuda` says whether the library can use it here, `fix` what would make it so.

    Raises:
        DeviceUnavailableError: CUDA was asked for and is not there.
    """
    if wanted == "cuda" and not cuda:
        raise DeviceUnavailableError(f"{library} cannot use CUDA here.", hint=f"{fix}, or set ASRQ_DEVICE=cpu.")
    if wanted == "auto":
        return "cuda" if cuda else "cpu"
    return wanted


def loading_mb(weights: Iterable[Path]) -> int:
    """Return about how much memory loading takes in MiB: for a while a library holds the files and its own numbers.

    Measured over `RUNTIME_MB`: 1.9 times the files with CTranslate2 (int8), 2.2 (float32), 2.0 with ONNX Runtime.
    """
    return RUNTIME_MB + (2 * sum(path.stat().st_size for path in weights) >> 20)


def refuse_too_large(model: str, needed_mb: int, free_mb: float, device: str, *, hint: str) -> None:
    """Raise OutOfMemoryError now, where the system would otherwise swap, or kill the process while it loads."""
    if needed_mb > free_mb:
        raise OutOfMemoryError(
            f"Model {model!r} needs about {needed_mb} MiB, and {free_mb:.0f} MiB are free on this {device}.", hint=hint
        )


def free_memory_mb() -> float:
    """Return how much memory in MiB can be had without swapping: the host's, or the container's if that is less."""
    free: float = psutil.virtual_memory().available
    return min([free, *_left_in_container()]) / 2**20


def _left_in_container() -> Iterator[float]:
    """Bytes up to the limit of each of our control groups (cgroup-v2.rst, 5-2; cgroup-v1/memory.rst, 5.2)."""
    for version, folder in groups.folders("memory"):
        names = ("limit_in_bytes", "usage_in_bytes", "stat") if version == 1 else ("max", "current", "stat")
        try:
            limit, used, told = ((folder / f"memory.{name}").read_text() for name in names)
            cache = dict(line.split() for line in told.splitlines())[_CACHE[version]]
            yield int(limit) - int(used) + int(cache)
        except (OSError, ValueError, KeyError):  # no such group; without a limit, there is `max` instead of the number
            continue
