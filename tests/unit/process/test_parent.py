"""Noticing the end of the process that started this one; with real processes in tests/integration/bridge."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from asrq_worker.process import parent

LAUNCHERS = Path("/venv/Scripts")


class Ancestor:
    """A process above ours, as psutil tells of it."""

    def __init__(self, exe: str, trouble: psutil.Error | None = None) -> None:
        self._exe = exe
        self._trouble = trouble
        self.end = threading.Event()
        self.waited_for = threading.Event()

    def exe(self) -> str:
        """Path of its program."""
        if self._trouble:
            raise self._trouble
        return self._exe

    def wait(self) -> None:
        """Block until it ends."""
        self.waited_for.set()
        self.end.wait()


def watch(monkeypatch: pytest.MonkeyPatch, *ancestors: Ancestor) -> threading.Event:
    """Watch on a Windows with these ancestors; returns what is set at the end."""

    class Process:
        def parents(self) -> list[Any]:
            return list(ancestors)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(psutil, "Process", Process)
    monkeypatch.setattr(parent.sysconfig, "get_path", lambda name: str(LAUNCHERS) if name == "scripts" else "/")
    noticed = threading.Event()
    parent.watch(noticed.set)
    return noticed


def test_windows_waits_for_the_application_and_not_for_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    venv, pip = Ancestor(f"{LAUNCHERS}/python.exe"), Ancestor(f"{LAUNCHERS}/asrq.exe")
    application, shell = Ancestor("/Apps/dictation.exe"), Ancestor("/Windows/explorer.exe")
    noticed = watch(monkeypatch, venv, pip, application, shell)
    assert application.waited_for.wait(5)
    assert not noticed.is_set()
    application.end.set()
    assert noticed.wait(5)
    assert not any(other.waited_for.is_set() for other in (venv, pip, shell))


@pytest.mark.parametrize("ancestors", [[], [Ancestor("", psutil.NoSuchProcess(1))]])
def test_windows_it_has_ended_already(monkeypatch: pytest.MonkeyPatch, ancestors: list[Ancestor]) -> None:
    assert watch(monkeypatch, *ancestors).wait(5)


def test_windows_it_belongs_to_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not watch(monkeypatch, Ancestor("", psutil.AccessDenied(1))).wait(0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no adoption")
def test_posix_adoption(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([7, 7, 7])
    monkeypatch.setattr(parent.os, "getppid", lambda: next(answers, 1))
    monkeypatch.setattr(parent, "_POLL_S", 0.001)
    noticed = threading.Event()
    parent.watch(noticed.set)
    assert noticed.wait(5)
