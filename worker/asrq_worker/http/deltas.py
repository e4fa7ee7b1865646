"""The text of a job as it grows at its end, from chunks that are done in any order."""

from __future__ import annotations

from asrq_jobs import atoms
from asrq_jobs.events import Event


class Ordered:
    """Holds a chunk back until all that was said before it is known. Pure.

    What has been given out stays: a stretch that is heard again, in another language or by another backend, is not
    given out again.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._held: dict[float, Event] = {}

    def after(self, event: Event) -> list[Event]:
        """Return the chunks whose turn it is after an event, in the order in which they were said."""
        if event.fallback_from is not None:  # another backend hears all of it, perhaps in other stretches
            self._held.clear()
        if event.type != "chunk" or event.start is None or event.start < self._until:
            return []
        self._held[event.start] = event
        self._until = max(self._until, event.until or 0.0)  # workers of older versions do not say it
        return [self._held.pop(start) for start in sorted(self._held) if start < self._until]

    def rest(self) -> list[Event]:
        """Return those that were held back, as no more come."""
        return [self._held.pop(start) for start in sorted(self._held)]


class Deltas:
    """By what the text grows."""

    def __init__(self) -> None:
        self.text = ""
        """All that was given out."""
        self._ordered = Ordered()

    def after(self, event: Event) -> str:
        """Return by what the text grows with an event; nothing if it does not."""
        texts = [chunk.text or "" for chunk in self._ordered.after(event)]
        before, self.text = self.text, atoms.joined([self.text, *texts])
        return self.text[len(before) :]

    def rest(self, whole: str) -> str:
        """Return what is left of the whole text; nothing where it is not the one that was given out."""
        return whole[len(self.text) :] if whole.startswith(self.text) else ""
