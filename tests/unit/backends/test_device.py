"""Where backends compute, and what does not fit there."""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import pytest

from asrq_jobs.errors import DeviceUnavailableError, OutOfMemoryError
from asrq_worker.backends import groups
from asrq_worker.backends.device import RUNTIME_MB, choose_device, free_memory_mb, loading_mb, refuse_too_large

HOST_MB = psutil.virtual_memory().total / 2**20


@pytest.mark.parametrize(
    ("wanted", "cuda", "chosen"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_devices(wanted: str, chosen: str, *, cuda: bool) -> None:
    assert choose_device(wanted, cuda=cuda, library="PyTorch", fix="Install it") == chosen


def test_cuda_that_is_not_there() -> None:
    with pytest.raises(DeviceUnavailableError, match="PyTorch cannot use CUDA here") as caught:
        choose_device("cuda", cuda=False, library="PyTorch", fix="Install the driver")
    assert caught.value.hint == "Install the driver, or set ASRQ_DEVICE=cpu."


def test_a_model_too_large_is_refused_before_it_is_loaded() -> None:
    refuse_too_large("1.7b", 4000, 4000, "cpu", hint="less")
    refuse_too_large("1.7b", 4000, math.inf, "cpu", hint="less")
    with pytest.raises(OutOfMemoryError, match="needs about 4001 MiB, and 4000 MiB are free") as caught:
        refuse_too_large("1.7b", 4001, 4000, "cpu", hint="less")
    assert caught.value.hint == "less"


def test_loading_takes_twice_the_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(3 << 20))
    assert loading_mb(tmp_path.iterdir()) == RUNTIME_MB + 12


@pytest.mark.parametrize(("limit", "left_mb"), [(str(100 << 20), 60), ("max", None), ("", None), (str(1 << 60), None)])
@pytest.mark.parametrize(
    ("group", "folder", "names", "cache"),
    [
        ("0::/", ".", ("max", "current"), "inactive_file"),
        ("0::/a.slice/b.service", "a.slice", ("max", "current"), "inactive_file"),
        ("4:memory:/a", "memory/a", ("limit_in_bytes", "usage_in_bytes"), "inactive_file 0\ntotal_inactive_file"),
        ("4:memory:/seen-by-the-host", "memory", ("limit_in_bytes", "usage_in_bytes"), "total_inactive_file"),
    ],
)
def test_the_limit_of_a_control_group_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: str,
    folder: str,
    names: tuple[str, str],
    cache: str,
    limit: str,
    left_mb: int | None,
) -> None:
    monkeypatch.setattr(groups, "_MOUNT", tmp_path)
    monkeypatch.setattr(groups, "_GROUPS", tmp_path / "groups")
    assert 0 < free_memory_mb() <= HOST_MB
    (tmp_path / "groups").write_text(f"9:name=systemd:/x\n{group}\n")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name, content in zip(names, (limit, str(50 << 20)), strict=True):
        (tmp_path / folder / f"memory.{name}").write_text(content)
    (tmp_path / folder / "memory.stat").write_text(f"anon {40 << 20}\n{cache} {10 << 20}\n")
    assert free_memory_mb() == left_mb if left_mb else 60 < free_memory_mb() <= HOST_MB
