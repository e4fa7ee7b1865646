"""What a person sees while jobs run."""

from __future__ import annotations

import pytest

from asrq_jobs.cli.progress import Bars, View, after, choose
from asrq_jobs.errors import EngineCrashedError, JobNotFoundError
from asrq_jobs.events import Event
from asrq_jobs.result import Result, Timings
from asrq_jobs.states import JobState


def test_a_job_from_the_lane_to_its_end() -> None:
    view = after(View(), Event(type="queued", at=0, lane="batch", depth=3))
    assert (view.status, view.detail) == ("queued", "no. 3 in batch")
    view = after(view, JobState(id="a", status="queued", lane="batch", position=2))
    assert view.detail == "no. 2 in batch"
    view = after(view, Event(type="started", at=0, attempt=1))
    view = after(view, Event(type="progress", at=0, stage="decode", done_s=75))
    assert (view.status, view.detail, view.fraction) == ("running", "decoding 1:15", 0.0)
    view = after(
        view, Event(type="progress", at=0, stage="inference", audio_s=100, done_s=25, fraction=0.25, rtfx=12.5)
    )
    assert (view.fraction, view.detail, view.left_s) == (0.25, "12.5x", 6.0)
    assert after(view, Event(type="chunk", at=0, text="Hi.")) == view
    assert after(view, JobState(id="a", status="processing")) == view
    view = after(view, Result(id="a", status="completed", timings=Timings(rtfx=11.0)))
    assert view == View("completed", 1.0, "done 11.0x")
    assert view.ended


def test_a_retry_says_why_and_keeps_what_was_done() -> None:
    crash = EngineCrashedError("It died.").info()
    view = after(View("running", 0.5, "10x"), Event(type="retrying", at=0, delay_s=2.2, error=crash))
    assert (view.status, view.fraction, view.detail) == ("queued", 0.5, "again in 2 s: engine_crashed")


@pytest.mark.parametrize(
    ("news", "status", "detail"),
    [
        (Result(id="a", status="failed", error=EngineCrashedError("x").info()), "failed", "engine_crashed"),
        (Result(id="a", status="canceled"), "canceled", "canceled"),
        (JobNotFoundError("Gone."), "failed", "job_not_found"),
    ],
)
def test_bad_ends(news: Result | JobNotFoundError, status: str, detail: str) -> None:
    view = after(View("running", 0.5, left_s=3), news)
    assert (view.status, view.detail, view.fraction, view.left_s) == (status, detail, 0.5, None)
    assert view.ended


def test_where_there_is_no_room_for_all_those_that_run_come_first() -> None:
    views = {"a": View("completed"), "b": View("queued"), "c": View("running"), "d": View("queued")}
    assert choose(views, 2) == {"c", "b"}
    assert choose(views, 9) == set(views)


def test_bars_write_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars({f"job{n}": f"[bold]talk{n}.mp3" for n in range(20)}) as bars:
        bars.update("job0", Event(type="progress", at=0, stage="inference", fraction=0.5, rtfx=3.0))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "[bold]talk0.mp3" in shown.err
    assert "50 %" in shown.err
    assert "0 of 20 ended" in shown.err
