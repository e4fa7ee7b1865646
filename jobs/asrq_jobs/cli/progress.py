"""What a person sees while jobs run: a bar per job, fed by events, with clocks that go on between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from threading import Lock

from rich.console import Console, RenderableType  # noqa: TID251  # a type; `printing` makes it
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from asrq_jobs.cli import printing
from asrq_jobs.cli.follow import Condition, News
from asrq_jobs.display import visible
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_jobs.states import JobState

_MOST_BARS = 12
_QUIET_S = 10.0  # without news of a job that runs: chunks take a few seconds each
_AGAIN = "tries again: "
_SILENT_S = 3.0  # without an answer, which comes every second: the server is away


@dataclass(frozen=True)
class JobView:
    """What is known of a job, as its bar shows it. `fraction` is of the audio.

    Times are seconds of one clock: `since` when the job began to wait or to run, `at` when it was last heard of;
    `left_s` was left then.
    """

    status: str = "queued"
    fraction: float = 0.0
    detail: str = ""
    left_s: float | None = None
    since: float | None = None
    at: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether the job is over."""
        return self.status in {"completed", "failed", "canceled"}


def after(view: JobView, news: News, *, now: float) -> JobView:
    """Return what to show once the news is in, at a time."""
    changed = _after(view, news)
    if changed.status != view.status or view.since is None:
        changed = replace(changed, since=now)
    return changed if isinstance(news, JobState) else replace(changed, at=now)


def _after(view: JobView, news: News) -> JobView:
    match news:
        case Result():
            return _ended(view, news)
        case JobState():
            return _standing(view, news)
        case Event():
            return _event(view, news)
        case _:
            return replace(view, status="failed", detail=news.code, left_s=None)


def _ended(view: JobView, result: Result) -> JobView:
    if result.status != "completed":
        return replace(
            view, status=result.status, detail=result.error.code if result.error else result.status, left_s=None
        )
    rtfx = result.timings.rtfx
    done = "done, cached" if result.cached else "done" if rtfx is None else f"done {_speed(rtfx)}"
    return replace(view, status="completed", fraction=1.0, detail=", ".join([done, *result.warnings]), left_s=None)


def _standing(view: JobView, state: JobState) -> JobView:
    if state.status == "processing" and view.status == "queued":  # its events are yet to come, or were lost
        return replace(view, status="running", detail="running")
    if view.status != "queued" or state.status != "queued":
        return view
    if not state.position and view.detail.startswith(_AGAIN):  # it waits for its time, not in its lane
        return view
    return replace(
        view, detail=_place(state.lane, state.position, state.waits_for, at_least=state.at_least), left_s=None
    )


def _place(lane: str | None, number: int | None, waits_for: str | None, *, at_least: bool = False) -> str:
    place = f"no. {number}{' or later' if at_least else ''} in {lane}" if number else f"waiting in {lane}"
    return f"{place}, for a worker with {waits_for}" if waits_for else place


def _event(view: JobView, event: Event) -> JobView:
    match event.type:
        case "queued":
            place = _place(event.lane, event.depth, event.waits_for)
            return replace(view, status="queued", fraction=0.0, detail=place, left_s=None)
        case "started":
            again = f" (attempt {event.attempt})" if event.attempt and event.attempt > 1 else ""
            return replace(view, status="running", detail=f"starting{again}", left_s=None)
        case "retrying":
            code = event.error.code if event.error else "failed"
            return replace(view, status="queued", detail=f"{_AGAIN}{code}", left_s=event.delay_s)
        case "progress":
            return _moved(view, event)
        case _:
            return view  # the text of a chunk; what ends a job is shown from its result


def _moved(view: JobView, event: Event) -> JobView:
    view = replace(view, status="running", left_s=None)
    if event.fallback_from:
        return replace(view, detail=f"{event.fallback_from} failed, another backend takes over")
    if event.step:
        return replace(view, detail=f"memory is short: {event.step.replace('_', ' ')}")
    if event.stage == "fetch":
        return replace(view, detail="fetching")
    if event.stage == "decode":
        heard = "" if event.done_s is None else f" {minutes(event.done_s)}"
        return replace(view, detail=f"decoding{heard}")
    fraction = view.fraction if event.fraction is None else event.fraction
    if not event.rtfx:
        return replace(view, fraction=fraction, detail="transcribing")
    left = None
    if event.audio_s is not None and event.done_s is not None:
        left = max(event.audio_s - event.done_s, 0.0) / event.rtfx
    return replace(view, fraction=fraction, detail=_speed(event.rtfx), left_s=left)


def described(view: JobView, *, now: float) -> str:
    """Return the text beside a bar at a time: the stage, for how long it has waited or run, and what is left."""
    parts = [view.detail]
    if view.since is not None and not view.ended:
        parts.append(minutes(now - view.since))
        if view.left_s is not None and (left := view.at + view.left_s - now) > 0:
            parts.append(f"in {minutes(left)}" if view.status == "queued" else f"{minutes(left)} left")
        elif view.status == "running" and now - view.at >= _QUIET_S:
            parts.append(f"no news for {minutes(now - view.at)}")
    return ", ".join(filter(None, parts))


def trouble(condition: Condition, *, silent_s: float) -> str:
    """Return what keeps all jobs waiting, if something does; `silent_s` is for how long the server has said nothing."""
    if not condition.answers or silent_s >= _SILENT_S:
        return f"the server does not answer, for {minutes(silent_s)}; trying again"
    return condition.absence or ""


def _speed(rtfx: float) -> str:
    return f"{rtfx:.1f}x"


def choose(views: Mapping[str, JobView], most: int) -> set[str]:
    """Return the jobs to show where there is no room for all: those that run, then those that wait, then the ended."""
    rank = {"running": 0, "queued": 1}
    return set(sorted(views, key=lambda job_id: rank.get(views[job_id].status, 2))[:most])


class _Detail(ProgressColumn):
    """The end of a line, written anew each time that it is drawn."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["describe"]())


class _WithTrouble(Progress):
    """Bars with a line below them, as long as there is something to say for all."""

    def __init__(self, *columns: ProgressColumn, trouble: Callable[[], str], console: Console) -> None:
        self._trouble = trouble
        # Transcripts go where stdout goes, which need not be this terminal.
        super().__init__(*columns, console=console, redirect_stdout=False, redirect_stderr=False)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is drawn."""
        yield from super().get_renderables()
        if trouble := self._trouble():
            yield Text(trouble, style="yellow")


class Bars:
    """Live bars on stderr, which leave stdout to the transcripts; a context manager."""

    def __init__(self, names: Mapping[str, str], *, watched: bool = True) -> None:
        """Show jobs under their names, given by job id; `watched` says that there is a server that may fall silent."""
        self._lock = Lock()
        self._watched = watched
        self._condition = Condition()
        self._heard_at: float | None = None  # None: nothing is asked just now
        self._progress = _WithTrouble(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            _Detail(),
            trouble=self._trouble,
            console=printing.console(err=True),
        )
        self._views = dict.fromkeys(names, JobView())
        self._bars: dict[str, TaskID] = {
            job_id: self._progress.add_task(
                visible(fitted(name)), total=1.0, visible=False, describe=lambda job_id=job_id: self._described(job_id)
            )
            for job_id, name in names.items()
        }
        self._all = self._progress.add_task(
            "all", total=len(names), visible=len(names) > _MOST_BARS, describe=self._summary
        )
        self._show()

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._watched = False
        self._progress.stop()

    def update(self, job_id: str, news: News) -> None:
        """Take in what happened to a job; from any thread."""
        with self._lock:
            now = self._heard_at = time.monotonic()
            self._views[job_id] = after(self._views[job_id], news, now=now)
            self._show()

    def sending(self, job_id: str) -> None:
        """Show that a job's audio is on its way to the queue."""
        with self._lock:
            now, self._heard_at = time.monotonic(), None
            self._views[job_id] = replace(self._views[job_id], detail="uploading", since=now, at=now)
            self._show()

    def of_the_queue(self, condition: Condition) -> None:
        """Take in how the queue is."""
        with self._lock:
            self._condition = condition
            if condition.answers:
                self._heard_at = time.monotonic()

    def _described(self, job_id: str) -> str:
        return visible(described(self._views[job_id], now=time.monotonic()))

    def _trouble(self) -> str:
        heard_at = self._heard_at
        if not self._watched or heard_at is None:
            return ""
        return trouble(self._condition, silent_s=time.monotonic() - heard_at)

    def _summary(self) -> str:
        ended = sum(view.ended for view in self._views.values())
        return f"{ended} of {len(self._views)} ended"

    def _show(self) -> None:
        shown = choose(self._views, _MOST_BARS)
        for job_id, view in self._views.items():
            self._progress.update(self._bars[job_id], completed=view.fraction, visible=job_id in shown)
        self._progress.update(self._all, completed=sum(view.ended for view in self._views.values()))


def fitted(name: str, width: int = 32) -> str:
    """Return a name that takes no more columns than that, cut in its middle."""
    return name if len(name) <= width else f"{name[: width // 2 - 1]}…{name[-width // 2 :]}"


def minutes(seconds: float) -> str:
    """Return a duration as people read it: 1:02, or 1:02:03 with hours."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"
