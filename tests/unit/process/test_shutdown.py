"""Signals ask a long-running command to end, wherever they strike."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import FrameType
from typing import Any

import pytest

from asrq_worker.process import shutdown
from asrq_worker.process.flag import Flag
from asrq_worker.process.shutdown import StopSignals


@contextmanager
def struck(line: int) -> Iterator[None]:
    """Send this process a signal before the given line, counted from 0, of what is called inside."""
    lines, before = count(), sys.gettrace()

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line" and next(lines) == line:
            signal.raise_signal(signal.SIGTERM)
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("line", range(24))
@pytest.mark.timeout(20)
def test_a_signal_ends_the_wait_wherever_it_strikes(line: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "_STEP_S", 0.001)
    with StopSignals() as watched:
        watched.started()
        with struck(line):
            watched.wait()
    assert watched.stop.is_set()
    assert not watched.hurry.is_set()


def test_a_second_signal_hurries() -> None:
    with StopSignals() as watched:
        watched.started()
        for _ in range(2):
            assert not watched.hurry.is_set()
            signal.raise_signal(signal.SIGTERM)
        assert watched.hurry.is_set()


def test_a_flag_that_another_thread_sets_ends_the_wait() -> None:
    flag = Flag()
    assert not flag.wait(0.01)
    setting = threading.Thread(target=flag.set)
    setting.start()
    assert flag.wait(60)
    setting.join()
    assert flag.is_set()
    assert flag.wait(60)
