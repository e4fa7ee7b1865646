"""How `pytest -n` shares the tests out among processes: a file to a process, as its tests share fixtures."""

from __future__ import annotations

import os
import re

from xdist.scheduler import LoadScopeScheduling

_ALONE = ("tests/simulation/", "tests/chaos/")
"""Where tests share no more than a server, and take so long that each may go to another process."""
_VARIANT = re.compile(r"(tests/conformance/test_backend\.py)::\w+\[(fake|whisper|qwen|server|onnx)")
"""A file that is repeated for each backend: the tests of one share a model."""
_QWEN = re.compile(r"tests/(conformance/test_qwen\.py|integration/qwen/|conformance/test_backend\.py::\w+\[qwen)")
"""Tests that import torch and what is around it: that takes as long as many of them together."""


def processes() -> int:
    """How many there are with `-n auto`: two more than there are cores for us, as tests mostly wait."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 2


def share(nodeid: str) -> str:
    """Name the tests that go to one process with this one."""
    if nodeid.startswith(_ALONE):
        return nodeid
    if _QWEN.match(nodeid):
        return "qwen"
    if variant := _VARIANT.match(nodeid):
        return ":".join(variant.groups())
    return nodeid.partition("::")[0]


class Shares(LoadScopeScheduling):
    """xdist's own scheduler, with our shares."""

    def _split_scope(self, nodeid: str) -> str:
        return share(nodeid)
