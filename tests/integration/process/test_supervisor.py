"""What keeps child processes running, with children of a few lines."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.waiting import until

from asrq_jobs.errors import AsrqError, InternalError, ShutdownError
from asrq_worker.process import supervisor
from asrq_worker.process.backoff import Backoff
from asrq_worker.process.exits import describe_exit
from asrq_worker.process.stdio import Message
from asrq_worker.process.supervisor import ChildProcess, Supervisor

_SOUND = "import sys; print('{}', flush=True); sys.stdin.read()"
_SILENT = "import sys; sys.stdin.read()"
_DIES = "print('{}', flush=True)"


class Tool(ChildProcess):
    """Ready with its first message."""

    def __init__(self, holder: Tools, start_s: float) -> None:
        self.gone = threading.Event()
        super().__init__(holder, "tool", start_s=start_s)

    def on_message(self, message: Message) -> None:
        with self._lock:
            self.has_become_ready()

    def on_death(self, code: int) -> AsrqError:
        return InternalError(describe_exit(code))

    def late(self, now: float) -> AsrqError:
        return InternalError("It is late.")

    def on_gone(self) -> None:
        self.gone.set()


class Tools(Supervisor[Tool]):
    """Notes what fails."""

    def __init__(self, *, count: int = 1, start_s: float = 60.0) -> None:
        super().__init__("tools", count=count)
        self.start_s = start_s
        self.ends: list[str] = []
        self.pauses: list[float] = []

    def launch(self) -> Tool:
        return Tool(self, self.start_s)

    def failed(self, reason: AsrqError, process: Tool | None) -> float:
        self.ends.append(reason.message)
        self.pauses.append(super().failed(reason, process))
        return self.pauses[-1]

    def ready(self) -> list[Tool]:
        with self.changed:
            return [tool for tool in self.processes if tool.ready]


@pytest.fixture
def closing() -> Iterator[list[Tools]]:
    """What is put there is closed in the end, and nothing may be left of it."""
    begun: list[Tools] = []
    yield begun
    for tools in begun:
        tools.close()
        assert tools.processes == []
    assert not [child for child in psutil.Process().children() if "tool" in child.cmdline()]


def _write(folder: Path, program: str) -> None:
    (folder / "tool.py").write_text(program, encoding="utf-8")


def test_as_many_run_as_are_wanted_and_one_that_dies_is_replaced_at_once(tmp_path: Path, closing: list[Tools]) -> None:
    _write(tmp_path, _SOUND)
    tools = Tools(count=2)
    closing.append(tools)
    tools.start()
    until(lambda: len(tools.ready()) == 2)
    stays, dies = tools.ready()
    psutil.Process(dies.pid).kill()
    assert dies.gone.wait(20)
    until(lambda: len(tools.ready()) == 2)
    assert stays in tools.ready()
    assert dies not in tools.ready()
    assert (len(tools.ends), tools.pauses) == (1, [0])


def test_one_that_is_not_ready_in_time_is_killed(tmp_path: Path, closing: list[Tools]) -> None:
    _write(tmp_path, _SILENT)
    tools = Tools(start_s=0.2)
    closing.append(tools)
    tools.start()
    until(lambda: tools.ends)
    assert tools.ends[0] == "It is late."


def test_those_that_die_again_and_again_come_back_ever_later(
    tmp_path: Path, closing: list[Tools], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "RESTARTS", Backoff(0.01, 0.03))
    _write(tmp_path, _DIES)
    tools = Tools()
    closing.append(tools)
    tools.start()
    until(lambda: len(tools.ends) >= 5)
    assert tools.pauses[:5] == [0, 0.01, 0.02, 0.03, 0.03]
    assert set(tools.ends) == {"exit code 0"}


def test_one_that_retires_has_not_failed(tmp_path: Path, closing: list[Tools]) -> None:
    _write(tmp_path, _SOUND)
    tools = Tools()
    closing.append(tools)
    tools.start()
    until(tools.ready)
    (old,) = tools.ready()
    with tools.changed:
        old.retiring = True
        old.kill(InternalError("It has served enough."))
    assert old.gone.wait(20)
    until(lambda: tools.ready() not in ([], [old]))
    assert tools.ends == []


def test_where_a_failure_ends_it_nothing_more_is_started(
    tmp_path: Path, closing: list[Tools], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, _DIES)
    failed = threading.Event()

    def give_up(self: Tools, reason: AsrqError, process: Tool | None) -> float:
        failed.set()
        return math.inf

    monkeypatch.setattr(Tools, "failed", give_up)
    tools = Tools()
    closing.append(tools)
    tools.start()
    assert failed.wait(20)
    with tools.changed:
        assert tools.processes == []
        assert tools._act(1e9) == math.inf
        assert tools.processes == []


def test_who_waits_for_all_gets_them_or_the_failure_that_was_the_last(
    tmp_path: Path, closing: list[Tools], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, _SOUND)
    tools = Tools(count=2)
    closing.append(tools)
    tools.serve()
    assert len(tools.ready()) == 2
    monkeypatch.setattr(Tools, "failed", lambda *_: math.inf)
    _write(tmp_path, "")  # never ready: two that live for a moment may be seen ready together
    with pytest.raises(InternalError, match="exit code 0"):
        Tools(count=2).serve()

    def refuse(_self: Tools) -> Tool:
        raise InternalError("There is no memory for it.")

    monkeypatch.setattr(Tools, "launch", refuse)
    with pytest.raises(InternalError, match="no memory"):
        Tools().serve()


def test_who_waits_for_all_is_not_kept_by_one_that_is_closed(tmp_path: Path) -> None:
    _write(tmp_path, _SILENT)
    tools = Tools()
    raised: list[BaseException] = []

    def wait() -> None:
        with pytest.raises(ShutdownError) as caught:
            tools.serve()
        raised.append(caught.value)

    waits = threading.Thread(target=wait)
    waits.start()
    until(lambda: tools.processes)
    tools.close()
    waits.join(20)
    assert raised
    assert tools.processes == []
