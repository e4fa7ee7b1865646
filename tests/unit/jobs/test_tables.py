"""Tables, for people at terminals of any width and for programs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

from asrq_jobs.cli import jobs, printing
from asrq_jobs.errors import AudioUnreadableError
from asrq_jobs.states import JobState

IDS = ["df3a077f85f64f0f84b4c4436efb97f4", "dictation-1", "x" * 64]


def states(job_id: str) -> list[JobState]:
    long = "transcribe Встреча команды по вторникам, продолжение.mp3 (ru)"
    waits = {"lane": "interactive", "description": long, "enqueued_at": "2026-11-22T07:48:38.074899Z"}
    return [
        JobState(id=job_id, status="queued", position=12, **waits),
        JobState(id=job_id, status="processing", attempt=2, **waits),
        JobState(id=job_id, status="failed", error=AudioUnreadableError("No.").info(), **waits),
    ]


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))


@pytest.mark.parametrize("job_id", IDS, ids=len)
@pytest.mark.parametrize("width", [80, 100, 200])
def test_ids_are_whole_and_rows_fit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, job_id: str
) -> None:
    on_a_terminal(monkeypatch, width)
    jobs._show(states(job_id), as_json=False)
    head, *rows = (line for line in capsys.readouterr().out.splitlines() if not line.startswith(" "))
    assert head.split()[:2] == ["id", "status"]
    assert [row.split()[0] for row in rows] == [job_id] * 3
    assert [row.split()[1].strip(",") for row in rows] == ["queued", "processing", "failed"]
    if len(job_id) < 64:
        assert "since" in head
        assert "job" in head
        assert max(map(len, rows)) <= width
        assert "audio_unreadable" in rows[2]
    if width == 200:
        assert head.split() == ["id", "status", "no.", "lane", "since", "job"]
        assert rows[0].split()[2] == "12"
        assert "attempt 2: transcribe" in rows[1]
        assert rows[0].endswith("продолжение.mp3 (ru)")


@pytest.mark.parametrize("job_id", IDS, ids=len)
@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("need", ["a GPU", "backend qwen, model Qwen/Qwen3-ASR-1.7B, word_timestamps"])
def test_what_a_job_waits_for_and_why_it_failed_are_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, need: str, job_id: str
) -> None:
    on_a_terminal(monkeypatch, width)
    waiting, _, failed = states(job_id)
    jobs._show([waiting.model_copy(update={"waits_for": need}), failed], as_json=False)
    shown = capsys.readouterr().out
    assert shown.count(f"waits for {need}") == 1
    assert shown.count("audio_unreadable") == 1
    if len(job_id) < 64:
        assert max(map(len, shown.splitlines())) <= width


def test_wide_characters_take_two_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.cells import cell_len

    on_a_terminal(monkeypatch, 40)
    printing.table(("a", "b"), [("今日", "天気" * 30), ("x", "[bold]\x1b[2J")])
    head, first, second = capsys.readouterr().out.splitlines()
    assert (head, second) == ("a     b", "x     [bold]\\x1b[2J")
    assert cell_len(first) <= 40
    assert first.startswith("今日  天気")
    assert first.endswith("…")


def test_programs_get_everything_with_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    jobs._show(states(IDS[0]), as_json=False)
    for row in capsys.readouterr().out.splitlines():
        cells = row.split("\t")
        assert len(cells) == len(jobs._COLUMNS)
        assert cells[0] == IDS[0]
        assert cells[5] == "2026-11-22T07:48:38Z"


def test_times_are_as_short_as_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 11, 22, 14, 0, tzinfo=timezone(timedelta(hours=3)))
    assert jobs._short("2026-11-22T07:48:38.074899Z", now=now) == "10:48:38"
    assert jobs._short("2026-11-21T22:48:38.074899Z", now=now) == "01:48:38", "it is the reader's day that counts"
    assert jobs._short("2026-11-21T07:48:38.074899Z", now=now) == "Nov 21 10:48"
    assert jobs._short("2025-12-31T07:48:38.074899Z", now=now) == "2025-12-31"
    assert jobs._short(None, now=now) == jobs._short("soon", now=now) == ""
    assert jobs._short("2026-11-22T07:48:38", now=datetime(2026, 11, 22, tzinfo=UTC))


def test_a_place_in_the_middle_of_a_long_lane(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = JobState(id="a", status="queued", lane="batch", position=1001, at_least=True)
    jobs._show([state], as_json=False)
    assert capsys.readouterr().out.split("\t")[3] == "1001+"
    on_a_terminal(monkeypatch, 100)
    jobs._show([state], as_json=False)
    assert " 1001+ " in capsys.readouterr().out
