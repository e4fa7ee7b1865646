"""A short soak; `python -m chaos.soak --seconds 7200` runs for hours."""

from __future__ import annotations

from pathlib import Path

from chaos.soak import Plan, settings_for, soak


def test_a_worker_that_starts_and_stops_and_loses_its_children_leaves_nothing(valkey_url: str, tmp_path: Path) -> None:
    summary = soak(Plan(rounds=3, jobs=60, kills=2), settings_for(valkey_url, tmp_path))
    print(summary)  # pytest shows it with a failure
    assert summary.problems == []
    assert (summary.rounds, summary.jobs, summary.kills) == (3, 180, 6)
    assert summary.ended["completed"] >= 150
    assert set(summary.ended) <= {"completed", "canceled", "inference_failed", "out_of_memory", "poisoned"}
