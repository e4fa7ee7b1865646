"""How many cores this process may use: those of its mask, within the quota of its control groups.

https://docs.kernel.org/admin-guide/cgroup-v2.html (5-1-1, cpu.max) and
https://docs.kernel.org/scheduler/sched-bwc.html (version 1: cpu.cfs_quota_us, cpu.cfs_period_us).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return how many decodes have a core to themselves, at least 1; a part of a core counts as one."""
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(mask, _quota())))


def _quota() -> float:
    """Cores that the scheduler lets us have over time; infinity where nothing limits them."""
    try:
        groups = _GROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return math.inf
    return min((quota for line in groups for quota in _of_group(line)), default=math.inf)


def _of_group(line: str) -> Iterator[float]:
    """The quotas of a group, given as `number:controllers:path`, and of those above it."""
    _, _, rest = line.partition(":")
    controllers, _, path = rest.partition(":")
    if controllers and "cpu" not in controllers.split(","):
        return
    mounts = (_MOUNT, _MOUNT / "unified") if not controllers else (_MOUNT / controllers, _MOUNT / "cpu")
    group = Path(path.lstrip("/"))
    for mount in mounts:
        for folder in (
            group,
            *group.parents,
        ):  # in a container the path may be that of the host: then only the last is here
            try:
                if controllers:
                    given = ((mount / folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
                    quota, period = map(int, given)
                else:
                    quota, period = map(int, (mount / folder / "cpu.max").read_text().split())
            except (OSError, ValueError):  # no such group, or `max`
                continue
            if quota > 0 and period > 0:
                yield quota / period
