"""The control groups that limit this process, of both versions: where the system says what they are.

https://docs.kernel.org/admin-guide/cgroup-v2.html and https://docs.kernel.org/admin-guide/cgroup-v1/cgroups.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")

Version = Literal[1, 2]


def folders(controller: str) -> Iterator[tuple[Version, Path]]:
    """Yield the folders of our group and of those above it, for a controller; not all need be there."""
    try:
        groups = _GROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in groups:  # number:controllers:path; without controllers: version 2
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        group = Path(path.lstrip("/"))
        mounts = (_MOUNT / controllers, _MOUNT / controller) if controllers else (_MOUNT, _MOUNT / "unified")
        for mount in mounts:
            for folder in (group, *group.parents):  # in a container the path may be that of the host: the last is ours
                yield 1 if controllers else 2, mount / folder
