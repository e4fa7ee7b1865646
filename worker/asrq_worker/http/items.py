"""What the client of a dictation is told of its text: a recording is one item, or each stretch of it is one. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from asrq_jobs.errors import AsrqError
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_worker.http import realtime
from asrq_worker.http.deltas import Deltas, Ordered


class Items(Protocol):
    """Those of one job: its events in, those of the socket out."""

    def after(self, event: Event) -> Iterator[realtime.Event]:
        """Yield what there is to tell after an event of the job."""

    def end(self, result: Result) -> Iterator[realtime.Event]:
        """Yield what there is to tell of its text."""

    def failed(self, error: AsrqError) -> realtime.Event:
        """Return what tells why there is no text."""


class WholeItem:
    """The recording is one item, whose id is that of the job."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._deltas = Deltas()

    def after(self, event: Event) -> Iterator[realtime.Event]:
        """Yield what there is to tell after an event of the job."""
        if event.type == "partial" and event.text:
            yield realtime.partial(self._job_id, event.text, event.stable or 0)
        elif delta := self._deltas.after(event):
            yield realtime.delta(self._job_id, delta)

    def end(self, result: Result) -> Iterator[realtime.Event]:
        """Yield what there is to tell of its text."""
        if rest := self._deltas.rest(result.text or ""):
            yield realtime.delta(self._job_id, rest)
        yield realtime.completed(self._job_id, result.text or "", result.duration or 0.0)

    def failed(self, error: AsrqError) -> realtime.Event:
        """Return what tells why there is no text."""
        return realtime.failed(self._job_id, error)


class TurnItems:
    """Each chunk is an item, whose id is that of the job with a number. What was told of one stays."""

    def __init__(self, job_id: str, previous: str | None) -> None:
        """`previous` is the id of the item before."""
        self._job_id = job_id
        self._previous = previous
        self._number = 1
        self._ordered = Ordered()
        self._speaking = False

    @property
    def _item(self) -> str:
        return f"{self._job_id}-{self._number}"

    def after(self, event: Event) -> Iterator[realtime.Event]:
        """Yield what there is to tell after an event of the job."""
        if event.type == "partial" and event.text:
            yield from self._begin(event.start or 0.0)
            yield realtime.partial(self._item, event.text, event.stable or 0)
        for chunk in self._ordered.after(event):
            yield from self._turn(chunk)

    def end(self, _result: Result) -> Iterator[realtime.Event]:
        """Yield what there is to tell of its text."""
        for chunk in self._ordered.rest():
            yield from self._turn(chunk)

    def failed(self, error: AsrqError) -> realtime.Event:
        """Return what tells why there is no text."""
        return realtime.failed(self._item, error)

    def _begin(self, at_s: float) -> Iterator[realtime.Event]:
        if not self._speaking:
            self._speaking = True
            yield realtime.speech_started(self._item, at_s)

    def _turn(self, chunk: Event) -> Iterator[realtime.Event]:
        start_s, end_s, text = chunk.start or 0.0, chunk.end or 0.0, chunk.text or ""
        if not text and not self._speaking:  # noise
            return
        yield from self._begin(start_s)
        yield realtime.speech_stopped(self._item, end_s)
        yield realtime.committed(self._item, self._previous)
        yield realtime.added(self._item, self._previous)
        if text:
            yield realtime.delta(self._item, text)
        yield realtime.completed(self._item, text, round(end_s - start_s, 3))
        self._previous, self._number, self._speaking = self._item, self._number + 1, False
