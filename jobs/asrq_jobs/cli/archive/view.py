"""How a run over an archive is shown: bars on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from asrq_jobs.cli import failure, printing
from asrq_jobs.cli.archive.shown import Totals
from asrq_jobs.cli.follow import News
from asrq_jobs.cli.progress import JobView, after, choose, described, fitted, minutes
from asrq_jobs.display import visible

_MOST_LINES = 8
_SAID_EVERY_S = 60.0


def _summary(totals: Totals) -> str:
    """Return how far a run is, in a line: counts, speed (audio time per time) and what is left at the pace so far."""
    parts = [f"{totals.ended} of {totals.files}"]
    if totals.failed:
        parts.append(f"{totals.failed} failed")
    if totals.skipped:
        parts.append(f"{totals.skipped} done before")
    done = totals.ended - totals.skipped
    if done and totals.elapsed_s:
        parts.append(f"{totals.audio_s / totals.elapsed_s:.1f}x")
        if left := totals.files - totals.ended:
            parts.append(f"{minutes(left * totals.elapsed_s / done)} left")
    return ", ".join(parts)


class ArchiveBars(Progress):
    """A bar for all files, and below it a line for each of those in the queue, on stderr."""

    def __init__(self, totals: Totals) -> None:
        self._names: dict[str, str] = {}
        self._views: dict[str, JobView] = {}
        self._trouble = ""
        super().__init__(
            BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.description}"),
            console=printing.console(err=True), redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._bar = self.add_task(_summary(totals), total=totals.files)
        self._remarks: list[Callable[[], None]] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for say in self._remarks:
            say()

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is drawn."""
        yield from super().get_renderables()
        now, views = time.monotonic(), dict(self._views)
        for job_id in sorted(choose(views, _MOST_LINES), key=list(views).index):
            yield Text(visible(f"  {fitted(self._names[job_id])}  {described(views[job_id], now=now)}"))
        if self._trouble:
            yield Text(visible(self._trouble), style="yellow")

    def begun(self, job_id: str, name: str) -> None:
        """Show that a file is on its way to the queue."""
        now = time.monotonic()
        self._names[job_id] = name
        self._views[job_id] = JobView(detail="uploading", since=now, at=now)

    def news(self, job_id: str, news: News) -> None:
        """Show what has happened to a job."""
        self._views[job_id] = after(self._views[job_id], news, now=time.monotonic())

    def over(self, job_id: str) -> None:
        """Show a job no more."""
        del self._views[job_id]

    def trouble(self, said: str) -> None:
        """Show what keeps all files waiting, as long as something does."""
        self._trouble = said

    def remark(self, say: Callable[[], None]) -> None:
        """Print something once the bars move no more."""
        self._remarks.append(say)

    def counted(self, totals: Totals) -> None:
        """Show what a file's end has added."""
        self.update(self._bar, completed=totals.ended, total=totals.files, description=_summary(totals))


class Lines:
    """A line on stderr each minute."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at = clock()
        self._trouble = ""

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begun(self, job_id: str, name: str) -> None:
        """Say nothing."""

    def news(self, job_id: str, news: News) -> None:
        """Say nothing."""

    def over(self, job_id: str) -> None:
        """Say nothing."""

    def trouble(self, said: str) -> None:
        """Say what keeps all files waiting, once."""
        if said and said != self._trouble:
            failure.note(f"{said}.")
        self._trouble = said

    def remark(self, say: Callable[[], None]) -> None:
        """Print something."""
        say()

    def counted(self, totals: Totals) -> None:
        """Say how far it is, unless that has just been said."""
        if self._clock() - self._said_at >= _SAID_EVERY_S:
            self._said_at = self._clock()
            failure.note(f"{_summary(totals)}.")
