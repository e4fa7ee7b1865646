"""How the tests are shared out among processes."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support import shares


@pytest.mark.parametrize(
    ("test", "share"),
    [
        ("tests/unit/jobs/test_keys.py::test_a[x::y]", "tests/unit/jobs/test_keys.py"),
        ("tests/simulation/test_simulation.py::test_a[x]", "tests/simulation/test_simulation.py::test_a[x]"),
        ("tests/conformance/test_backend.py::test_a[whisper-base-0.1]", "tests/conformance/test_backend.py:whisper"),
        ("tests/conformance/test_backend.py::test_a[server-chat]", "tests/conformance/test_backend.py:server"),
        ("tests/conformance/test_backend.py::test_real_exports[whisper]", "tests/conformance/test_backend.py:whisper"),
        ("tests/conformance/test_backend.py::test_a[qwen-en]", "qwen"),
        ("tests/integration/backends/qwen/test_load.py::test_a", "qwen"),
        ("tests/acceptance/test_with_a_worker.py::test_a", "tests/acceptance/ live"),
        ("tests/acceptance/test_backend_commands.py::test_a[x]", "tests/acceptance/ live"),
        ("tests/conformance/test_client.py::test_a[sync]", "tests/conformance/test_client.py"),
    ],
)
def test_tests_that_share_fixtures_stay_together(test: str, share: str) -> None:
    assert shares.share(test) == share


class Node:
    """A process that notes what it is given."""

    def __init__(self) -> None:
        self.given: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def test_what_takes_long_begins_first() -> None:
    tests = [
        *("tests/unit/test_a.py::test_1", "tests/unit/test_a.py::test_2", "tests/unit/test_b.py::test_1"),
        *("tests/integration/jobs/test_f.py::test_1", "tests/integration/jobs/test_f.py::test_2"),
        *("tests/chaos/test_c.py::test_1", "tests/chaos/test_c.py::test_2", "tests/acceptance/test_d.py::test_1"),
        *("tests/integration/backends/qwen/test_e.py::test_1", "tests/conformance/test_qwen.py::test_1"),
    ]
    config: Any = SimpleNamespace(getvalue=lambda _: ["popen"], option=SimpleNamespace(loadscopereorder=True))
    scheduler, node = shares.Shares(config, None), cast("Any", Node())
    scheduler.add_node(node)
    scheduler.add_node_collection(node, tests)
    scheduler.schedule()
    for number in range(len(tests)):
        scheduler.mark_test_complete(node, node.given[number])
    order = [tests[index] for index in node.given]
    assert order == [*tests[8:], *tests[7:8], *tests[5:7], *tests[3:5], *tests[2:3], *tests[:2]]


def test_there_are_four_processes_more_than_cores_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 7}, raising=False)
    assert shares.processes() == shares.processes(["tests/unit", "tests/chaos"]) == 6
    assert shares.processes(["tests/unit", "tests/unit/jobs/test_keys.py::test_a"]) == 2, "they do not wait"
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert shares.processes() == 20
