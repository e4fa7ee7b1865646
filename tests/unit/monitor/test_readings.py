"""What the system says of a process and its devices."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
from support.series import series

from asrq_worker.monitor import catalogue, readings
from asrq_worker.monitor.readings import DeviceMemory, Devices, parse_smi, read_devices, read_process
from asrq_worker.monitor.registry import Metrics

GIB = 1 << 30


def test_this_process() -> None:
    metrics = Metrics()
    read_process(metrics)
    found = series(metrics)
    assert found[catalogue.MEMORY.name] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert found[catalogue.STARTED.name] == pytest.approx(psutil.Process().create_time(), abs=1)
    assert found[catalogue.CPU.name] > 0
    assert found[catalogue.FILES.name] > 0
    assert any(name.startswith("asrq_build_info{version=") for name in found)


def test_what_nvidia_smi_prints() -> None:
    text = "0, 1024, 24576\n1, [N/A], [N/A]\nNo devices were found\n"
    assert parse_smi(text) == {"0": DeviceMemory(1 * GIB, 24 * GIB)}


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_devices_are_asked_for_through_nvidia_smi_and_not_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\necho "$@" >> "$0.calls"\necho "0, 2048, 8192"\n')
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    metrics = Metrics()
    read_devices(metrics)
    assert series(metrics) == {
        'asrq_device_memory_bytes{device="0"}': 2 * GIB,
        'asrq_device_memory_limit_bytes{device="0"}': 8 * GIB,
    }
    asked = (tmp_path / "nvidia-smi.calls").read_text().splitlines()
    assert asked == ["--query-gpu=index,memory.used,memory.total --format=csv,noheader,nounits"]


def test_an_nvidia_smi_that_fails_or_hangs_costs_nothing_but_its_own_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Devices(str(tmp_path / "missing")).look() == {}
    monkeypatch.setattr(readings, "_SMI_TIMEOUT_S", 0.05)
    hanging = tmp_path / "nvidia-smi"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    assert Devices(str(hanging)).look() == {}


def test_a_machine_without_nvidia_smi_has_no_such_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    metrics = Metrics()
    read_devices(metrics)
    assert series(metrics) == {}
