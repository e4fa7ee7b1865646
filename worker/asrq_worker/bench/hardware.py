"""Where a benchmark ran: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import psutil

_TIMEOUT_S = 10


def describe() -> dict[str, str]:
    """Return processor, memory, GPU, system and Python as text, and how busy the machine is already."""
    found = {
        "processor": f"{_processor()}, {psutil.cpu_count() or '?'} logical cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "gpu": _gpus(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }
    if hasattr(os, "getloadavg"):
        found["load before"] = f"{os.getloadavg()[0]:.1f}"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


def _gpus() -> str:
    """NVIDIA's own tool knows without any framework; a machine without it has no GPU that we could use."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],  # noqa: S607  # by PATH, as installed
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "none"
    return "; ".join(done.stdout.split("\n")).strip("; ") or "none"
