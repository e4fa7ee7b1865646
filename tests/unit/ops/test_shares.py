"""How the tests are shared out among processes."""

from __future__ import annotations

import os

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
        ("tests/integration/qwen/test_load.py::test_a", "qwen"),
        ("tests/conformance/test_client.py::test_a[sync]", "tests/conformance/test_client.py"),
    ],
)
def test_tests_that_share_fixtures_stay_together(test: str, share: str) -> None:
    assert shares.share(test) == share


def test_there_are_two_processes_more_than_cores_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 7}, raising=False)
    assert shares.processes() == 4
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert shares.processes() == 18
