"""What a person sees while jobs run."""

from __future__ import annotations

import pytest

from asrq_jobs.cli import progress
from asrq_jobs.cli.follow import Condition, News
from asrq_jobs.cli.progress import Bars, JobView, choose, described, trouble
from asrq_jobs.errors import EngineCrashedError, JobNotFoundError
from asrq_jobs.events import Event
from asrq_jobs.result import Result, Timings
from asrq_jobs.states import JobState


def after(view: JobView, news: News, now: float = 0.0) -> JobView:
    return progress.after(view, news, now=now)


def test_a_job_from_the_lane_to_its_end() -> None:
    view = after(JobView(), Event(type="queued", at=0, lane="batch", depth=3))
    assert (view.status, view.detail) == ("queued", "no. 3 in batch")
    view = after(view, JobState(id="a", status="queued", lane="batch", position=2))
    assert view.detail == "no. 2 in batch"
    far = after(view, JobState(id="a", status="queued", lane="batch", position=1001, at_least=True))
    assert far.detail == "no. 1001 or later in batch"
    view = after(view, Event(type="started", at=0, attempt=1))
    assert (view.status, view.detail) == ("running", "starting")
    view = after(view, Event(type="progress", at=0, stage="fetch"))
    assert view.detail == "fetching"
    view = after(view, Event(type="progress", at=0, stage="decode", done_s=75))
    assert (view.status, view.detail, view.fraction) == ("running", "decoding 1:15", 0.0)
    view = after(view, Event(type="progress", at=0, stage="inference", audio_s=100, done_s=0, fraction=0.0, rtfx=0.0))
    assert (view.detail, view.left_s) == ("transcribing", None)
    view = after(
        view, Event(type="progress", at=0, stage="inference", audio_s=100, done_s=25, fraction=0.25, rtfx=12.5)
    )
    assert (view.fraction, view.detail, view.left_s) == (0.25, "12.5x", 6.0)
    assert after(view, Event(type="chunk", at=0, text="Hi.")) == view
    assert after(view, JobState(id="a", status="processing")) == view
    view = after(view, Result(id="a", status="completed", timings=Timings(rtfx=11.0), warnings=("truncated_media",)))
    assert (view.status, view.fraction) == ("completed", 1.0)
    assert described(view, now=9.0) == "done 11.0x, truncated_media"
    assert view.ended
    view = after(view, Result(id="a", status="completed", cached=True))
    assert described(view, now=9.0) == "done, cached"


def test_clocks_go_on_between_the_news() -> None:
    view = after(JobView(), Event(type="queued", at=0, lane="batch", depth=2), now=100.0)
    assert described(view, now=112.0) == "no. 2 in batch, 0:12"
    view = after(view, Event(type="started", at=0, attempt=1), now=120.0)
    moved = Event(type="progress", at=0, stage="inference", audio_s=100, done_s=40, fraction=0.4, rtfx=2.0)
    view = after(view, moved, now=140.0)
    assert described(view, now=140.0) == "2.0x, 0:20, 0:30 left"
    assert described(view, now=145.0) == "2.0x, 0:25, 0:25 left"
    assert described(view, now=171.0) == "2.0x, 0:51, no news for 0:31"
    view = after(view, JobState(id="a", status="processing"), now=171.0)
    assert described(view, now=171.0).endswith("no news for 0:31"), "that it is still processing is no news of it"


def test_a_job_whose_events_were_lost_is_seen_to_run() -> None:
    view = after(JobView(), JobState(id="a", status="processing"))
    assert (view.status, view.detail) == ("running", "running")


def test_a_retry_says_why_and_keeps_what_was_done() -> None:
    crash = EngineCrashedError("It died.").info()
    view = after(JobView("running", 0.5, "10x"), Event(type="retrying", at=0, delay_s=2.2, error=crash))
    assert (view.status, view.fraction, view.detail) == ("queued", 0.5, "tries again: engine_crashed")
    assert described(view, now=0.0) == "tries again: engine_crashed, 0:00, in 0:02"
    assert after(view, JobState(id="a", status="queued", lane="batch")) == view, "it is not in its lane yet"
    back = after(view, JobState(id="a", status="queued", lane="batch", position=1))
    assert described(back, now=1.0) == "no. 1 in batch, 0:01"
    view = after(view, Event(type="started", at=0, attempt=2))
    assert view.detail == "starting (attempt 2)"


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        ({"fallback_from": "qwen"}, "qwen failed, another backend takes over"),
        ({"step": "chunk_split"}, "memory is short: chunk split"),
    ],
)
def test_what_goes_wrong_on_the_way_is_said(event: dict[str, str], detail: str) -> None:
    told = Event(type="progress", at=0, stage="inference", **event)  # type: ignore[arg-type]  # both are texts
    view = after(JobView("running", 0.5, "10x", left_s=3.0), told)
    assert (view.detail, view.fraction, view.left_s) == (detail, 0.5, None)


@pytest.mark.parametrize(
    ("news", "status", "detail"),
    [
        (Result(id="a", status="failed", error=EngineCrashedError("x").info()), "failed", "engine_crashed"),
        (Result(id="a", status="canceled"), "canceled", "canceled"),
        (JobNotFoundError("Gone."), "failed", "job_not_found"),
    ],
)
def test_bad_ends(news: Result | JobNotFoundError, status: str, detail: str) -> None:
    view = after(JobView("running", 0.5, left_s=3), news)
    assert (view.status, view.detail, view.fraction, view.left_s) == (status, detail, 0.5, None)
    assert view.ended
    assert described(view, now=99.0) == detail


@pytest.mark.parametrize(
    ("condition", "silent_s", "said"),
    [
        (Condition(), 0.0, ""),
        (Condition(), 1.5, ""),
        (Condition(absence="no worker is there"), 0.0, "no worker is there"),
        (Condition(), 7.0, "the server does not answer, for 0:07; trying again"),
        (Condition(absence="no worker is there"), 65.0, "the server does not answer, for 1:05; trying again"),
        (Condition(answers=False), 1.0, "the server does not answer, for 0:01; trying again"),
    ],
)
def test_what_keeps_all_jobs_waiting_is_said(condition: Condition, silent_s: float, said: str) -> None:
    assert trouble(condition, silent_s=silent_s) == said


def test_where_there_is_no_room_for_all_those_that_run_come_first() -> None:
    views = {"a": JobView("completed"), "b": JobView("queued"), "c": JobView("running"), "d": JobView("queued")}
    assert choose(views, 2) == {"c", "b"}
    assert choose(views, 9) == set(views)


def test_bars_write_to_stderr_only_and_names_are_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    names = {f"job{n}": f"[bold]:smile:{n}\x1b[31m\n.mp3" for n in range(20)}
    with Bars(names) as bars:
        bars.update("job0", Event(type="progress", at=0, stage="inference", fraction=0.5, rtfx=3.0))
        bars.of_the_queue(Condition(absence="no worker is there"))
        bars.sending("job1")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "[bold]:smile:0\\x1b[31m\\n.mp3" in shown.err
    assert "\x1b" not in shown.err
    assert "50 %" in shown.err
    assert "0 of 20 ended" in shown.err
