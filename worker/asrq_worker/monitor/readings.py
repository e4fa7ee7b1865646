"""What the operating system says of this process, and nvidia-smi of the devices."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

from asrq_jobs import __version__
from asrq_worker.monitor import catalogue
from asrq_worker.monitor.registry import Metrics
from asrq_worker.process.environment import handed_on

_SMI = "nvidia-smi"
_SMI_TIMEOUT_S = 5.0
_SMI_EVERY_S = 10.0  # it costs a tenth of a second of CPU


def read_process(metrics: Metrics) -> None:
    """Have memory, CPU time, open files, start and version of this process exported."""
    process = psutil.Process()

    def cpu_s() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    def files() -> float:
        return float(process.num_handles() if sys.platform == "win32" else process.num_fds())

    metrics.read(catalogue.MEMORY, lambda: {(): float(process.memory_info().rss)})
    metrics.read(catalogue.CPU, lambda: {(): cpu_s()})
    metrics.read(catalogue.FILES, lambda: {(): files()})
    metrics.read(catalogue.STARTED, lambda: {(): float(process.create_time())})
    metrics.read(catalogue.BUILD, lambda: {(__version__,): 1.0})


def read_devices(metrics: Metrics) -> None:
    """Have the memory of NVIDIA devices exported, if this machine has nvidia-smi."""
    smi = shutil.which(_SMI)
    if smi is None:
        return
    devices = _Devices(smi)
    metrics.read(catalogue.DEVICE_USED, lambda: {(name,): d.used for name, d in devices.look().items()})
    metrics.read(catalogue.DEVICE_TOTAL, lambda: {(name,): d.total for name, d in devices.look().items()})


@dataclass(frozen=True)
class _DeviceMemory:
    """Bytes."""

    used: float
    total: float


class _Devices:
    """Asks nvidia-smi at most every ten seconds, however often it is looked at."""

    def __init__(self, program: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._program = program
        self._clock = clock
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._found: Mapping[str, _DeviceMemory] = {}

    def look(self) -> Mapping[str, _DeviceMemory]:
        """Return the memory of each device by its number; nothing if nvidia-smi does not answer."""
        with self._lock:
            if self._clock() - self._asked >= _SMI_EVERY_S:
                self._found = _parse_smi(self._ask())
                self._asked = self._clock()
            return self._found

    def _ask(self) -> str:
        query = ["--query-gpu=index,memory.used,memory.total", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(  # noqa: S603  # the driver's own program, with constant arguments
                [self._program, *query],
                capture_output=True,
                text=True,
                timeout=_SMI_TIMEOUT_S,
                check=True,
                env=handed_on("CUDA_*", "NVIDIA_*"),
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout


def _parse_smi(text: str) -> dict[str, _DeviceMemory]:
    """Return what nvidia-smi printed, lines of `index, MiB used, MiB there`; a device without figures is left out."""
    found: dict[str, _DeviceMemory] = {}
    for line in text.splitlines():
        index, *figures = (part.strip() for part in line.split(","))
        if len(figures) == 2 and all(figure.isdecimal() for figure in figures):
            found[index] = _DeviceMemory(*(float(int(figure) << 20) for figure in figures))
    return found
