"""How many cores a process may use, whatever the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from asrq_worker.backends import cores
from asrq_worker.backends import groups as groups_module
from asrq_worker.backends.cores import usable_cores

_LIMITED = [
    ("0::/", {"cpu.max": "150000 100000\n"}, 2),
    ("0::/", {"cpu.max": "50000 100000\n"}, 1),
    ("0::/", {"cpu.max": "max 100000\n"}, None),
    ("0::/a.slice/b.scope", {"a.slice/cpu.max": "300000 100000\n", "a.slice/b.scope/cpu.max": "max 100000\n"}, 3),
    ("0::/a.slice/b.scope", {"a.slice/cpu.max": "100000 100000\n", "a.slice/b.scope/cpu.max": "200000 100000\n"}, 1),
    ("0::/docker/as-the-host-sees-it", {"cpu.max": "200000 100000\n"}, 2),
    ("0::/", {"unified/cpu.max": "200000 100000\n"}, 2),
    (
        "3:cpuset:/\n2:cpu,cpuacct:/",
        {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
        3,
    ),
    ("1:cpu:/group", {"cpu/group/cpu.cfs_quota_us": "100000\n", "cpu/group/cpu.cfs_period_us": "100000\n"}, 1),
    ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    ("5:cpuset:/\n4:memory:/", {"cpuset/cpu.max": "100000 100000"}, None),
    ("0::/", {"cpu.max": "nonsense\n"}, None),
    ("", {}, None),
]


def limit(groups: str, files: dict[str, str], mask: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system tell of a mask, and of control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: mask, raising=False)
    monkeypatch.setattr(groups_module, "_MOUNT", tmp_path / "cgroup")
    monkeypatch.setattr(groups_module, "_GROUPS", tmp_path / "groups")
    (tmp_path / "groups").write_text(groups)
    for name, content in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize(("groups", "files", "expected"), _LIMITED)
def test_a_quota_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, files: dict[str, str], expected: int | None
) -> None:
    limit(groups, files, set(range(64)), tmp_path, monkeypatch)
    assert usable_cores() == (64 if expected is None else expected)


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/", {"cpu.max": "250000 100000\n"}),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}),
    ],
)
@pytest.mark.parametrize(("mask", "expected"), [({1}, 1), ({0, 5}, 2), ({0, 1, 2}, 3), (set(range(8)), 3)])
def test_of_a_mask_and_a_quota_the_narrower_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    groups: str,
    files: dict[str, str],
    mask: set[int],
    expected: int,
) -> None:
    limit(groups, files, mask, tmp_path, monkeypatch)
    assert usable_cores() == expected


def test_a_mask_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_quota", lambda: math.inf)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3, 5, 7}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert usable_cores() == 3


def test_where_there_is_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(groups_module, "_GROUPS", tmp_path / "none")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
