"""What a person sees while jobs run: a bar per job, fed by events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from asrq_jobs.cli.follow import News
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_jobs.states import JobState

_MOST_BARS = 12


@dataclass(frozen=True)
class View:
    """What is known of a job, as its bar shows it. `fraction` is of the audio, `left_s` seconds until the end."""

    status: str = "queued"
    fraction: float = 0.0
    detail: str = ""
    left_s: float | None = None

    @property
    def ended(self) -> bool:
        """Whether the job is over."""
        return self.status in {"completed", "failed", "canceled"}


def after(view: View, news: News) -> View:
    """Return what to show once the news is in."""
    match news:
        case Result():
            return _ended(view, news)
        case JobState():
            return _waiting(view, news)
        case Event():
            return _event(view, news)
        case _:
            return replace(view, status="failed", detail=news.code, left_s=None)


def _ended(view: View, result: Result) -> View:
    if result.status != "completed":
        return replace(
            view, status=result.status, detail=result.error.code if result.error else result.status, left_s=None
        )
    rtfx = result.timings.rtfx
    return View("completed", 1.0, "done" if rtfx is None else f"done {_speed(rtfx)}")


def _waiting(view: View, state: JobState) -> View:
    if view.status != "queued" or state.status != "queued":
        return view
    return replace(view, detail=_place(state.lane, state.position, state.waits_for))


def _place(lane: str | None, number: int | None, waits_for: str | None) -> str:
    place = f"no. {number} in {lane}" if number else f"waiting in {lane}"
    return f"{place}, for a worker with {waits_for}" if waits_for else place


def _event(view: View, event: Event) -> View:
    match event.type:
        case "queued":
            return View("queued", detail=_place(event.lane, event.depth, event.waits_for))
        case "started":
            return replace(view, status="running", detail="starting")
        case "retrying":
            code = event.error.code if event.error else "failed"
            pause = f" in {event.delay_s:.0f} s" if event.delay_s else ""
            return View("queued", view.fraction, f"again{pause}: {code}")
        case "progress":
            return _moved(view, event)
        case _:
            return view  # the text of a chunk; what ends a job is shown from its result


def _moved(view: View, event: Event) -> View:
    if event.stage == "fetch":
        return replace(view, status="running", detail="fetching")
    if event.stage == "decode":
        heard = "" if event.done_s is None else f" {_minutes(event.done_s)}"
        return replace(view, status="running", detail=f"decoding{heard}")
    fraction = view.fraction if event.fraction is None else event.fraction
    left = None
    if event.rtfx and event.audio_s is not None and event.done_s is not None:
        left = max(event.audio_s - event.done_s, 0.0) / event.rtfx
    return View("running", fraction, _speed(event.rtfx) if event.rtfx else "running", left)


def _speed(rtfx: float) -> str:
    return f"{rtfx:.1f}x"


def choose(views: Mapping[str, View], most: int) -> set[str]:
    """Return the jobs to show where there is no room for all: those that run, then those that wait, then the ended."""
    rank = {"running": 0, "queued": 1}
    return set(sorted(views, key=lambda job_id: rank.get(views[job_id].status, 2))[:most])


class Bars:
    """Live bars on stderr, which leave stdout to the transcripts; a context manager."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Show jobs under their names, given by job id."""
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[detail]}", markup=False),
            console=Console(stderr=True),
            redirect_stdout=False,  # transcripts go where stdout goes, which need not be this terminal
            redirect_stderr=False,
        )
        self._lock = Lock()
        self._views = dict.fromkeys(names, View())
        self._bars: dict[str, TaskID] = {
            job_id: self._progress.add_task(_fit(name), total=1.0, visible=False, detail="")
            for job_id, name in names.items()
        }
        self._all = self._progress.add_task("all", total=len(names), visible=len(names) > _MOST_BARS, detail="")
        self._show()

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, job_id: str, news: News) -> None:
        """Take in what happened to a job; from any thread."""
        with self._lock:
            self._views[job_id] = after(self._views[job_id], news)
            self._show()

    def _show(self) -> None:
        shown = choose(self._views, _MOST_BARS)
        for job_id, view in self._views.items():
            left = "" if view.left_s is None else f", {_minutes(view.left_s)} left"
            self._progress.update(
                self._bars[job_id], completed=view.fraction, visible=job_id in shown, detail=view.detail + left
            )
        ended = sum(view.ended for view in self._views.values())
        self._progress.update(self._all, completed=ended, detail=f"{ended} of {len(self._views)} ended")


def _fit(name: str, width: int = 32) -> str:
    return name if len(name) <= width else f"{name[: width // 2 - 1]}…{name[-width // 2 :]}"


def _minutes(seconds: float) -> str:
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"
