"""What has been measured survives an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.bench.records import TARGET, clip, heard

from asrq_jobs.errors import ErrorInfo, UsageError
from asrq_worker.bench.manifest import Clip
from asrq_worker.bench.record import Hosted, Records, Refused, Rush

CONDITIONS = {"asrq": "1"}
A, B = clip("a"), clip("b")


def test_records_come_back(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    records = Records(path, TARGET, CONDITIONS)
    error = ErrorInfo(code="unsupported_option", message="English only.", retryable=False, stage="request")
    records.add(heard(A, None))
    records.add(heard(A, "again"))
    records.add(Refused(target=TARGET, language="ru", error=error))
    records.add(Rush(target=TARGET, wall_s=2.0, audio_s=8.0, texts={A.sha256: "x", B.sha256: None}))
    records.add(Hosted(target=TARGET, cold_start_s=3.0, peak_memory_mb=100))
    for known in (records, Records(path, TARGET, CONDITIONS)):
        found = known.heard(A)
        assert found is not None
        assert found.result.text == "again"
        assert known.heard(B) is None
        assert known.refused["ru"].error == error
        assert known.rush([B, A]) is not None
        assert known.rush([A]) is None
        assert [hosted.peak_memory_mb for hosted in known.hosted] == [100]


def test_another_target_setting_or_file_is_measured_anew(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Records(path, TARGET, CONDITIONS).add(heard(A))
    assert Records(path, TARGET, CONDITIONS).heard(A)
    assert not Records(path, "whisper:tiny", CONDITIONS).heard(A)
    assert not Records(path, TARGET, {**CONDITIONS, "beam_size": "1"}).heard(A)
    changed = Clip(A.name, A.file, "sha-other", A.language, A.text)
    assert not Records(path, TARGET, CONDITIONS).heard(changed)


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    records = Records(path, TARGET, CONDITIONS)
    records.add(heard(A))
    records.add(heard(B))
    path.write_bytes(path.read_bytes()[:-20])
    resumed = Records(path, TARGET, CONDITIONS)
    assert resumed.heard(A)
    assert not resumed.heard(B)
    resumed.add(heard(B))
    assert Records(path, TARGET, CONDITIONS).heard(B)


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").mkdir()
    with pytest.raises(UsageError, match="Cannot read"):
        Records(tmp_path / "results.jsonl", TARGET, CONDITIONS)
    with pytest.raises(UsageError, match="Cannot write"):
        Records(tmp_path / "nowhere" / "results.jsonl", TARGET, CONDITIONS).add(heard(A))
