"""How `pytest -n` shares the tests out among processes: a file to a process, as its tests share fixtures."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from xdist.scheduler import LoadScopeScheduling

_ALONE = ("tests/simulation/", "tests/chaos/")
"""Where tests share no more than a server, and take so long that each may go to another process."""
_VARIANT = re.compile(r"(tests/conformance/test_backend\.py)::\w+\[(fake|whisper|qwen|server|onnx)")
"""A file that is repeated for each backend: the tests of one share a model."""
_QWEN = re.compile(
    r"tests/(conformance/test_qwen(_native)?\.py|integration/backends/qwen/|conformance/test_backend\.py::\w+\[qwen)"
)
"""Tests that import torch and what is around it: that takes as long as many of them together."""
_LIVE = re.compile(r"tests/acceptance/test_(with_a_worker|backend_commands)\.py")
"""Tests that share the one worker with a real model."""
_LONG = (
    *("tests/conformance/", "qwen", "tests/acceptance/", "tests/chaos/", "tests/integration/bench/"),
    *("tests/browser/", "tests/integration/faults/", "tests/typing/", "tests/simulation/"),
    *("tests/integration/queue/", "tests/integration/clients/", "tests/integration/"),
)
"""Where few tests take long, those that take longest first: one that began last would run on alone. What is left to the
end is `tests/unit`, whose files take a second or two and never wait."""
_UNIT = "tests/unit"


def processes(paths: Iterable[str] = ()) -> int:
    """How many there are with `-n auto`: four more than there are cores for us, as tests mostly wait.

    With two more, a fifth of two cores had nothing to do. Those of `tests/unit` do not wait, and each process takes
    seconds to begin.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    only_unit = [path.partition("::")[0].startswith(_UNIT) for path in paths]
    return cores if only_unit and all(only_unit) else cores + 4


def share(nodeid: str) -> str:
    """Name the tests that go to one process with this one."""
    if nodeid.startswith(_ALONE):
        return nodeid
    if _QWEN.match(nodeid):
        return "qwen"
    if _LIVE.match(nodeid):
        return "tests/acceptance/ live"
    if variant := _VARIANT.match(nodeid):
        return ":".join(variant.groups())
    return nodeid.partition("::")[0]


def rank(name: str) -> int:
    """Say when a share is to begin: the less, the earlier."""
    return next((place for place, start in enumerate(_LONG) if name.startswith(start)), len(_LONG))


class Shares(LoadScopeScheduling):
    """xdist's own scheduler, with our shares and what takes long first: of those alike, what has the fewest tests.

    A file of few has tests of whole programs, which take seconds each; hundreds in one file are quick.
    """

    _ordered = False

    def _split_scope(self, nodeid: str) -> str:
        return share(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        if not self._ordered:
            self._ordered = True
            self.workqueue = OrderedDict(sorted(self.workqueue.items(), key=lambda unit: (rank(unit[0]), len(unit[1]))))
        super()._assign_work_unit(node)
