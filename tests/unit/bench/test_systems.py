"""The benchmark of systems: what its figures are, and what it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from asrq_worker.bench.score import Errors
from systems import report
from systems.__main__ import options, tuned
from systems.audio import Collected
from systems.measurement import Measured
from systems.phases import Killed, Loaded, Stretch


def measured(wall_s: float, **others: object) -> Measured:
    """A round with ten clips of 6 s in so many seconds."""
    stream = Stretch(wall_s, wall_s * 2, 60.0, 10, {"en": Errors(words=50, word_errors=5)}, failed=0)
    return Measured(start_s=1.0, stream=stream, alone_s=[1.0, 2.0], long=None, loaded=None, peak_mb=300, **others)  # type: ignore[arg-type]  # by name


def figure(title: str) -> report.Figure:
    return next(each for group in report.tables(["en"]).values() for each in group if each.title == title)


def test_a_ratio_is_taken_within_a_round_and_its_spread_over_them() -> None:
    rounds = [
        {"asrq": measured(2.0), "loop": measured(8.0)},
        {"asrq": measured(5.0), "loop": measured(10.0)},
        {"asrq": measured(1.0), "loop": measured(6.0)},
    ]
    assert report.of(figure("clips/s"), "loop", rounds) == report.Spread(1.25, 1.0, 10 / 6)
    assert report.against(figure("clips/s"), "loop", rounds) == report.Spread(4.0, 2.0, 6.0)
    assert report.against(figure("clips/s"), "asrq", rounds) is None


def test_a_contender_that_dropped_out_has_the_rounds_before_that() -> None:
    rounds = [{"asrq": measured(2.0), "saq": measured(8.0)}, {"asrq": measured(5.0)}]
    assert report.of(figure("clips/s"), "saq", rounds) == report.Spread(1.25, 1.25, 1.25)
    assert report.against(figure("clips/s"), "saq", rounds) == report.Spread(4.0, 4.0, 4.0)


def test_what_was_not_measured_is_a_dash_and_never_a_nought() -> None:
    killed = Killed(clips=9, clips_lost=1, words=90, words_lost=12, answered_twice=0, after_s=20.0)
    full = measured(2.0, invented_in_silence=0, killed=killed)
    rounds = [{"asrq": full, "loop": measured(4.0)}]
    words = report.render(rounds, {"asrq": "asrq", "loop": "a loop"}, ["en"]).split("**Words**")[1].split("**")[0]
    ours, theirs = ([cell.strip() for cell in line.split("|")[1:-1]] for line in words.strip().splitlines()[2:])
    assert ours == ["asrq", "10.0", "0", "12", "90", "20", "0", "–"]
    assert theirs == ["a loop", "10.0", "0", "–", "–", "–", "–", "–"]


def test_latency_under_load_is_a_percentile_of_what_came() -> None:
    loaded = Measured(
        1.0, measured(1.0).stream, [1.0], None, Loaded([1.0, 2.0, 3.0, 4.0, 5.0], files_left=1), peak_mb=1
    )
    assert report.of(figure("under long files, p50"), "asrq", [{"asrq": loaded}]) == report.Spread(3.0, 3.0, 3.0)


def test_quick_is_one_round_of_few_clips() -> None:
    given = options(["--quick"])
    assert (given.rounds, given.clips, given.alone) == (1, 2, 2)
    assert options(["--device", "cuda"]).compute_type == "float16"


def test_the_batch_is_the_fastest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("systems.__main__.best_batch", lambda *_: {2: 5.0, 4: 3.0, 8: 4.0})
    assert tuned(Collected([], [], [], []), {}, cast("Redis", None), tmp_path) == 4
