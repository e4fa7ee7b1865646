"""`ops/bench/gateway.py` on a clip of the repository."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from conftest import REPO

SCRIPT = REPO / "ops" / "bench" / "gateway.py"


def test_all_ways_are_measured_on_the_same_clips(data: Path) -> None:
    ran = subprocess.run(
        [sys.executable, SCRIPT, "--clips", data, "--repeat", "3"],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert set(report) == {"clips", "cpu_ms", "direct", "http", "httpx"}
    assert report["clips"] >= 3
    assert report["clips"] % 3 == 0
    assert report["cpu_ms"] > 0
    for way in ("direct", "http", "httpx"):
        assert 0 < report[way]["own_ms"] < report[way]["median_ms"]
    for way in ("http", "httpx"):
        assert report[way]["added_ms"] != report[way]["median_ms"], "it is a difference"
