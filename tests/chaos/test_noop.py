"""The program behind the figures of what a job costs beside its work, on few jobs."""

from __future__ import annotations

import json
import sys

import pytest
from chaos import noop


@pytest.mark.skipif(sys.platform == "win32", reason="no server for this platform")
def test_the_figures_are_made(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["noop", "--jobs", "20", "--rounds", "1"])
    noop.main()
    found = json.loads(capsys.readouterr().out)
    assert found["cpu_ms_per_job"].keys() == found["jobs_per_s"].keys() == {"rq", "asrq, 1 slot", "asrq, 6 slots"}
    assert found["ratio_to_rq"].keys() == {"asrq, 1 slot", "asrq, 6 slots"}
