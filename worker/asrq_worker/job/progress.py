"""What a job tells of its way through an engine: how much is done, and the texts as they come."""

from __future__ import annotations

import time
from dataclasses import dataclass

from asrq_jobs.events import Event
from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import SAMPLE_RATE, Transcript


@dataclass
class Progress:
    """Seconds of speech that are to be heard and that are done, and the events that tell of them."""

    audio_s: float = 0.0
    done_s: float = 0.0
    counts: bool = True
    """Not while something is heard a second time: the whole is done already."""
    tells: bool = True
    """Not while something is heard only to find out its language."""

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._heard_s = 0.0

    def expect(self, seconds: float) -> None:
        """Note that so much more is to be heard."""
        self.audio_s += seconds if self.counts else 0.0

    def restored(self, piece: Piece) -> None:
        """Note that an earlier attempt has heard a piece."""
        self.done_s += piece.seconds if self.counts else 0.0

    def heard(
        self, piece: Piece, transcript: Transcript, until: int, *, channel: int | None = None
    ) -> tuple[Event, ...]:
        """Note that a piece was heard just now, and return what there is to tell of it.

        `until` is the sample before which nothing is left to be heard, on any channel.
        """
        seconds = piece.seconds if self.counts else 0.0
        self.done_s += seconds
        self._heard_s += seconds
        if not self.tells:
            return (self.now(),)
        start, end = piece.start / SAMPLE_RATE, piece.stop / SAMPLE_RATE
        chunk = Event(
            type="chunk",
            at=time.time(),
            start=start,
            end=end,
            text=transcript.text,
            until=until / SAMPLE_RATE,
            channel=channel,
        )
        return chunk, self.now()

    def now(self) -> Event:
        """Return how far it is, and how fast this attempt has been; what an earlier one has heard took it no time."""
        elapsed = time.monotonic() - self._began
        return Event(
            type="progress",
            at=time.time(),
            stage="inference",
            audio_s=round(self.audio_s, 3),
            done_s=round(self.done_s, 3),
            fraction=round(self.done_s / self.audio_s, 4),
            rtfx=round(self._heard_s / elapsed, 2) if self._heard_s and elapsed > 0 else None,
        )
