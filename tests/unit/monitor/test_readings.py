"""What the system says of a process and its devices."""

from __future__ import annotations

import psutil
import pytest
from support.series import series

from asrq_worker.monitor import catalogue
from asrq_worker.monitor.readings import _DeviceMemory, _parse_smi, read_devices, read_process
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
    assert _parse_smi(text) == {"0": _DeviceMemory(1 * GIB, 24 * GIB)}


def test_a_machine_without_nvidia_smi_has_no_such_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    metrics = Metrics()
    read_devices(metrics)
    assert series(metrics) == {}
