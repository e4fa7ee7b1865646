"""A journal of a job for tests without a queue."""

from __future__ import annotations

from asrq_jobs.events import Event
from asrq_worker.backends.base import Transcript

DELIVER = "https://example.org/"
"""Where what is heard goes: such a job keeps all of its pieces, also the last one, as its end takes a while."""


class Notes:
    """A journal that stays with the test."""

    def __init__(self, finished: dict[str, Transcript] | None = None) -> None:
        self.events: list[Event] = []
        self.saved: dict[str, Transcript] = finished or {}
        self.together: list[tuple[str, ...]] = []
        """Types of the events that came with each finished chunk."""

    def event(self, event: Event) -> None:
        self.events.append(event)

    def conclude(self, *events: Event) -> None:
        self.events += events
        self.together.append(tuple(event.type for event in events))

    def reuse(self, key: str) -> None:
        pass

    def load(self) -> dict[str, Transcript]:
        return dict(self.saved)

    def save(self, key: str, transcript: Transcript, *events: Event) -> None:
        self.saved[key] = transcript
        self.events += events
        self.together.append(tuple(event.type for event in events))
