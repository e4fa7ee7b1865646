"""A short soak; `python -m chaos.soak --seconds 7200` runs for hours."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import REPO
from support.needs import missing
from support.server import valkey


@pytest.mark.timeout(1800)  # for what hangs
def test_a_worker_that_starts_and_stops_and_loses_its_children_leaves_nothing() -> None:
    """In a process of its own: nothing that other tests have started there is counted, or killed."""
    if valkey() is None:
        missing("a Valkey server")
    done = subprocess.run(
        [sys.executable, "-m", "chaos.soak", "--rounds", "3", "--jobs", "60", "--kills", "2"],
        env={**os.environ, "PYTHONPATH": str(REPO / "tests")},
        stdout=subprocess.PIPE,
        check=False,
    )
    summary = json.loads(done.stdout)
    assert (summary["problems"], done.returncode) == ([], 0), summary
    assert (summary["rounds"], summary["jobs"], summary["kills"]) == (3, 180, 6)
    assert summary["ended"]["completed"] >= 150
    assert set(summary["ended"]) <= {"completed", "canceled", "inference_failed", "out_of_memory", "poisoned"}
