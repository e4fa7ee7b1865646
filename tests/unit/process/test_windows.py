"""Client and worker are for Windows too: what only POSIX has is not needed, and what Windows does instead is right.

`mypy --platform win32` (`make lint`) finds every name that Windows lacks; here is what a type checker cannot see.
"""

from __future__ import annotations

import importlib
import signal
import sys
import types
from pathlib import Path
from unittest.mock import Mock

import pytest

from asrq_worker.audio import decode_child, decode_process
from asrq_worker.process import locking, shutdown
from asrq_worker.queue import faults
from asrq_worker.storage.spool import Spool, discard


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")


def test_files_are_locked_by_windows_own_means(windows: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken: list[tuple[int, int, int]] = []
    fake = types.SimpleNamespace(LK_NBLCK=2, locking=lambda *given: taken.append(given))
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    locking.Hold(tmp_path).close()
    assert [(how, size) for _, how, size in taken] == [(2, 1)]


def test_a_spool_asks_for_no_user_id(windows: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr("os.getuid", raising=False)
    monkeypatch.setattr("asrq_worker.storage.spool.Hold", Mock())
    (tmp_path / "asrq-spool-1-left").mkdir()
    monkeypatch.setattr("asrq_worker.storage.spool._GRACE_S", -1.0)
    with Spool(tmp_path) as spool:
        assert list(tmp_path.iterdir()) == [spool.path]


def test_a_file_that_a_child_still_reads_stays_for_now(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "The process cannot access the file because it is being used by another process")

    monkeypatch.setattr(Path, "unlink", refuse)
    (tmp_path / "samples.f32").touch()
    discard(tmp_path / "samples.f32")


def test_a_decoder_goes_without_limits_of_the_system(windows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    decode_child._limit(1, 1)


def test_the_end_of_a_decoder_is_told_without_signals(windows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("signal.SIGXCPU", raising=False)
    assert (
        "exit code 3221225477" in decode_process._died(0xC0000005, "at rest").message
    )  # an access violation, unsigned there


def test_ctrl_break_asks_to_stop_as_well(windows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    try:
        reloaded = importlib.reload(shutdown)
        assert reloaded._SIGNALS == [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
        with reloaded.StopSignals() as watched:
            watched.started()
            signal.raise_signal(signal.SIGUSR1)
            assert watched.stop.wait(5)
            assert not watched.hurry.is_set()
    finally:
        monkeypatch.undo()
        importlib.reload(shutdown)


def test_a_fault_point_ends_the_process_without_sigkill(windows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr("os.kill", lambda _, number: sent.append(number))
    monkeypatch.delattr("signal.pthread_kill", raising=False)
    fault = faults._Fault("here:2")
    fault.reach("there")
    fault.reach("here")
    assert sent == []
    fault.reach("here")
    assert sent == [signal.SIGTERM]
