"""What a program of the system says of devices."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.series import series

from asrq_worker.monitor import readings
from asrq_worker.monitor.readings import _Devices, read_devices
from asrq_worker.monitor.registry import Metrics

GIB = 1 << 30


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
    assert _Devices(str(tmp_path / "missing")).look() == {}
    monkeypatch.setattr(readings, "_SMI_TIMEOUT_S", 0.05)
    hanging = tmp_path / "nvidia-smi"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    assert _Devices(str(hanging)).look() == {}
