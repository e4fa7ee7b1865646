"""How many cores this process may use: those of its mask, within the quota of its control groups.

https://docs.kernel.org/admin-guide/cgroup-v2.html (5-1-1, cpu.max) and
https://docs.kernel.org/scheduler/sched-bwc.html (version 1: cpu.cfs_quota_us, cpu.cfs_period_us).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

from asrq_worker.backends import groups


def usable_cores() -> int:
    """Return how many decodes have a core to themselves, at least 1; a part of a core counts as one."""
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(mask, _quota())))


def _quota() -> float:
    """Cores that the scheduler lets us have over time; infinity where nothing limits them."""
    return min(_quotas(), default=math.inf)


def _quotas() -> Iterator[float]:
    for version, folder in groups.folders("cpu"):
        try:
            if version == 1:
                given = " ".join((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            else:
                given = (folder / "cpu.max").read_text()
            quota, period = map(int, given.split())
        except (OSError, ValueError):  # no such group, or `max`
            continue
        if quota > 0 and period > 0:
            yield quota / period
