"""The program behind the figures of decision 27, on few jobs: it goes through, and says each figure of its table."""

from __future__ import annotations

import sys

import pytest
from chaos import backlog
from support.server import SERVERS


@pytest.mark.skipif(sys.platform == "win32", reason="no server for this platform")
def test_the_figures_are_made(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["backlog", "--jobs", "200"])
    backlog.main()
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {kind for kind, found in SERVERS.items() if found()}
    assert "valkey   submitting all" in lines[0]
    assert all(line.endswith((" a second", " bytes", " with 200 jobs")) for line in lines)
