"""What a run over an archive tells of itself, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from asrq_jobs.cli.follow import News


@dataclass
class Totals:
    """What a run has come to. `skipped` were done before; `audio_s` is of those completed in this run, in seconds."""

    files: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    audio_s: float = 0.0
    elapsed_s: float = 0.0

    @property
    def ended(self) -> int:
        """Files that are done with."""
        return self.completed + self.failed + self.skipped


class Shown(Protocol):
    """Where a run is shown. Everything is told from one thread."""

    def begun(self, job_id: str, name: str) -> None:
        """Show that a file is on its way to the queue."""

    def news(self, job_id: str, news: News) -> None:
        """Show what has happened to a job."""

    def over(self, job_id: str) -> None:
        """Show a job no more."""

    def trouble(self, said: str) -> None:
        """Show what keeps all files waiting; an empty text: nothing does."""

    def remark(self, say: Callable[[], None]) -> None:
        """Let something be printed, now or at the end."""

    def counted(self, totals: Totals) -> None:
        """Show what a file's end has added."""
