"""What was measured is kept, and nothing that can be wrong with where it is kept is more than a second measurement."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from asrq_worker.backends import measured
from asrq_worker.backends.measured import FOLDER
from asrq_worker.process.locking import Hold

HERE = {"processor": "P", "cores": 2}


@dataclass(frozen=True)
class Speed:
    """What is measured."""

    times: tuple[float, ...]


class Gauge:
    """Measures another speed each time."""

    def __init__(self) -> None:
        self.measured = 0

    def __call__(self) -> Speed:
        self.measured += 1
        return Speed((float(self.measured),))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)


def once(
    folder: Path, gauge: Gauge, of: dict[str, object] | None = None, wait_s: float = 60.0, version: int = 1
) -> Speed | None:
    return measured.once(folder, of or HERE, {"version": version}, Speed, gauge, wait_s)


def test_it_is_measured_once_for_each_thing(tmp_path: Path) -> None:
    gauge = Gauge()
    assert [once(tmp_path / "models", gauge) for _ in range(3)] == [Speed((1.0,))] * 3
    assert once(tmp_path / "models", gauge, HERE | {"cores": 3}) == Speed((2.0,))
    assert once(tmp_path / "models", gauge) == Speed((1.0,))
    assert gauge.measured == 2
    assert len(list((tmp_path / "models" / FOLDER).iterdir())) == 2


def test_the_figures_of_another_version_are_replaced(tmp_path: Path) -> None:
    gauge = Gauge()
    assert [once(tmp_path, gauge, version=version) for version in (1, 2, 2)] == [Speed((n,)) for n in (1.0, 2.0, 2.0)]
    assert len(list((tmp_path / FOLDER).iterdir())) == 1


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff{",
        b"[]",
        b"null",
        b"[" * 200_000,
        b'{"of": {"processor": "P", "cores": 2, "version": 1}}',
        b'{"of": {"processor": "P", "cores": 2, "version": 1}, "found": {"times": ["fast"]}}',
        b'{"of": {"processor": "another", "cores": 2, "version": 1}, "found": {"times": [9.0]}}',
    ],
)
def test_a_damaged_file_is_made_again(tmp_path: Path, damaged: bytes) -> None:
    gauge = Gauge()
    once(tmp_path, gauge)
    [path] = (tmp_path / FOLDER).iterdir()
    path.write_bytes(damaged)
    assert [once(tmp_path, gauge) for _ in range(2)] == [Speed((2.0,))] * 2


def test_where_nothing_can_be_kept_it_is_measured_each_time_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    gauge = Gauge()
    assert once(tmp_path / "file", gauge) == Speed((1.0,))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(measured, "_write", full)
    assert once(tmp_path, gauge) == Speed((2.0,))
    assert once(tmp_path, gauge) == Speed((3.0,))
    assert len(caplog.messages) == 3
    for folder, message in zip(("file/measured", FOLDER, FOLDER), caplog.messages, strict=True):
        assert f"cannot be kept in {tmp_path / folder} (N" in message
        assert message.endswith("): each start measures it again.")


def test_who_has_no_home_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert once(Path("~/.cache/asrq/models"), Gauge()) == Speed((1.0,))
    assert list(tmp_path.iterdir()) == []


def test_on_a_busy_host_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (2.1, 0.0, 0.0), raising=False)
    gauge = Gauge()
    assert once(tmp_path, gauge) is None
    monkeypatch.setattr(os, "getloadavg", lambda: (1.9, 9.0, 9.0), raising=False)
    assert once(tmp_path, gauge) == Speed((1.0,))
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 9.0, 9.0), raising=False)
    assert once(tmp_path, gauge) == Speed((1.0,)), "it is known"


def test_two_at_once_measure_once(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Speed:
        begun.set()
        assert go_on.wait(60)
        return Speed((7.0,))

    gauge = Gauge()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(measured.once, tmp_path, HERE, {"version": 1}, Speed, slow, 60.0)
        assert begun.wait(60)
        second = threads.submit(once, tmp_path, gauge)
        assert once(tmp_path, gauge, wait_s=0.0) is None, "it does not wait longer than it may"
        go_on.set()
        assert first.result(60) == second.result(60) == Speed((7.0,))
    assert gauge.measured == 0


def test_a_measurement_that_fails_lets_the_next_one_begin(tmp_path: Path) -> None:
    def fails() -> Speed:
        raise MemoryError

    with pytest.raises(MemoryError):
        measured.once(tmp_path, HERE, {}, Speed, fails, 0.0)
    Hold(tmp_path / FOLDER).close()
    assert once(tmp_path, Gauge(), wait_s=0.0) == Speed((1.0,))


def test_the_processor_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: AMD EPYC: a 9R14\n\nmodel name\t: other\n")
    monkeypatch.setattr(measured, "_CPU_INFO", info)
    assert measured.processor() == "AMD EPYC: a 9R14"
    info.unlink()
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert measured.processor() == "riscv64"
