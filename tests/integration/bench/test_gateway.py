"""`ops/bench/gateway.py` on a clip of the repository."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from conftest import REPO

SCRIPT = REPO / "ops" / "bench" / "gateway.py"


def test_both_ways_are_measured_on_the_same_clips(data: Path) -> None:
    ran = subprocess.run(
        [sys.executable, SCRIPT, "--clips", data, "--repeat", "3"],
        capture_output=True,
        encoding="utf-8",
        timeout=170,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert set(report) == {"pairs", "direct_ms", "http_ms", "added_ms", "cpu_ms"}
    assert report["pairs"] >= 3
    assert report["pairs"] % 3 == 0
    assert min(report["direct_ms"], report["http_ms"], report["cpu_ms"]) > 0
    assert report["added_ms"] != report["http_ms"], "it is a difference"
