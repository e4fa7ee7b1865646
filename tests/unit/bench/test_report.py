"""How the report follows from the records."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from unit.bench.records import TARGET, clip, heard

from asrq_jobs.errors import ErrorInfo
from asrq_worker.bench import charts, markdown
from asrq_worker.bench.record import Hosted, Records, Refused, Rush
from asrq_worker.bench.report import Benchmark, TargetReport, normalisers, summarise
from asrq_worker.bench.target import Target

A, B, C, D, NO_REFERENCE = clip("a"), clip("b"), clip("c"), clip("d", "раз", "ru"), clip("e", None)
CLIPS = [A, B, C, D, NO_REFERENCE]


@pytest.fixture(scope="module")
def fonts() -> None:
    """Matplotlib, imported before a test is watched: the first time on a machine it asks a program for the fonts."""
    pytest.importorskip("matplotlib.font_manager")


def measured(folder: Path) -> TargetReport:
    records = Records(folder / "results.jsonl", TARGET, {})
    records.add(heard(A, "Left, right!", latency_s=1.0))
    records.add(heard(B, "left turn", latency_s=3.0, warnings=("repetition",)))
    records.add(heard(C, None, latency_s=50.0))
    records.add(heard(NO_REFERENCE, "whatever", latency_s=2.0, warnings=("repetition",)))
    error = ErrorInfo(code="unsupported_option", message="It knows no Russian.", retryable=False, stage="request")
    records.add(Refused(target=TARGET, language="ru", error=error))
    texts = {A.sha256: "Left, right!", B.sha256: "left", NO_REFERENCE.sha256: None}
    records.add(Rush(target=TARGET, wall_s=2.0, audio_s=8.0, texts=texts))
    for cold_start_s, peak in ((9.0, 400), (3.0, 300)):
        records.add(Hosted(target=TARGET, cold_start_s=cold_start_s, peak_memory_mb=peak))
    return summarise(Target("whisper", "base"), CLIPS, records)


def report(*targets: TargetReport) -> Benchmark:
    return Benchmark(
        asrq_version="1",
        measured_at="now",
        machine={"processor": "one"},
        settings={"beam_size": "1"},
        manifest="m.jsonl",
        clips={"en": 4, "ru": 1},
        normalisers=normalisers(CLIPS),
        targets=targets,
    )


def test_a_failed_clip_is_all_errors_and_no_latency(tmp_path: Path) -> None:
    found = measured(tmp_path)
    english = found.accuracy["en"]
    assert (english.clips, english.words, english.word_errors, english.wer) == (3, 6, 3, 50.0)
    assert found.latency is not None
    assert (found.latency.clips, found.latency.p50_s, found.latency.p99_s) == (3, 2.0, 2.98)
    assert found.failures == {"engine_crashed": 1}


def test_the_rest_of_the_summary(tmp_path: Path) -> None:
    found = measured(tmp_path)
    assert found.throughput is not None
    assert (found.throughput.rtfx, found.throughput.changed) == (4.0, 2)
    assert (found.cold_start_s, found.peak_memory_mb, found.model_load_s) == (3.0, 400, 0.5)
    assert found.warnings == {"repetition": 2}
    assert found.refused == {"ru": "It knows no Russian."}
    assert [(one.name, one.wer, one.error) for one in found.clips] == [
        ("a", 0.0, None),
        ("b", 50.0, None),
        ("c", 100.0, "engine_crashed"),
        ("e", None, None),
    ]


def test_a_target_of_which_nothing_is_known_yet(tmp_path: Path, fonts: None) -> None:
    found = summarise(Target("whisper", "base"), CLIPS, Records(tmp_path / "none", TARGET, {}))
    assert (found.latency, found.throughput, found.cold_start_s, found.accuracy) == (None, None, None, {})
    assert "| whisper:base | – | – | – | – | – | – | – |" in markdown.render(report(found))
    charts.draw(report(found), tmp_path)


def test_markdown(tmp_path: Path) -> None:
    first = measured(tmp_path)
    second = first.model_copy(update={"target": "qwen:x", "cold_start_s": 6.0, "refused": {}, "failures": {}})
    text = markdown.render(report(first, second))
    assert "| backend | language | clips | word errors | invented | lost | WER | CER |" in text
    assert "| whisper:base | en | 3 | 3 of 6 | 0 | 2 | 50.0 % |" in text
    assert "| whisper:base | ru | skipped | – | – | – | – | – |" in text
    assert "| qwen:x | **best** | **best** | **best** | 2.0 × | **best** |" in text
    assert "* whisper:base: ru skipped: It knows no Russian; 1 failed with `engine_crashed`; 2 with warning" in text
    assert "beam_size=1" in text
    assert "EnglishTextNormalizer" in text


def test_charts_are_pictures(tmp_path: Path, fonts: None) -> None:
    paths = charts.draw(report(measured(tmp_path)), tmp_path)
    assert [path.name for path in paths] == ["wer.png", "latency.png", "trade-off.png"]
    for path in paths:
        header = path.read_bytes()[:24]
        assert header.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", header[16:])
        assert width > height > 400
        assert f"]({path.name})" in markdown.render(report())
