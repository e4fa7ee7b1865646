"""What a job tells of its way through an engine: how much is done, and the texts as they come."""

from __future__ import annotations

import time
from dataclasses import dataclass

from asrq_jobs.events import Event
from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import SAMPLE_RATE, Transcript

_SAME_S = 1e-6  # sums of the same seconds in another order
_MOST = 0.9999
"""What is told at most as long as anything is to be heard."""


@dataclass
class Progress:
    """Seconds of speech that are to be heard and that are done, and the events that tell of them.

    What is heard twice counts twice.
    """

    audio_s: float = 0.0
    done_s: float = 0.0
    ends: bool = True
    """Not while the recording goes on: nobody knows how much of it is done."""

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._heard_s = 0.0
        self._fraction = 0.0

    def expect(self, seconds: float) -> None:
        """Note that so much more is to be heard."""
        self.audio_s += seconds

    def restored(self, piece: Piece) -> None:
        """Note that an earlier attempt has heard a piece."""
        self.done_s += piece.seconds

    def heard(self, piece: Piece) -> None:
        """Note that a piece was heard just now."""
        self.done_s += piece.seconds
        self._heard_s += piece.seconds

    @property
    def over(self) -> bool:
        """Whether nothing is left to be heard."""
        return self.ends and self.done_s > self.audio_s - _SAME_S

    def now(self) -> Event:
        """Return how far it is, and how fast this attempt has been; what an earlier one has heard took it no time.

        More may turn out to be heard, and still no fraction is less than the one before.
        """
        elapsed = time.monotonic() - self._began
        if self.ends:
            self._fraction = max(self._fraction, 1.0 if self.over else min(self.done_s / self.audio_s, _MOST))
        return Event(
            type="progress",
            at=time.time(),
            stage="inference",
            audio_s=round(self.audio_s, 3),
            done_s=round(self.done_s, 3),
            fraction=round(self._fraction, 4) if self.ends else None,
            rtfx=round(self._heard_s / elapsed, 2) if self._heard_s and elapsed > 0 else None,
        )


def told(piece: Piece, transcript: Transcript, until: int, *, channel: int | None = None) -> Event:
    """Return the event with the text of a piece.

    `until` is the sample before which nothing is left to be heard, on any channel.
    """
    return Event(
        type="chunk",
        at=time.time(),
        start=piece.start / SAMPLE_RATE,
        end=piece.stop / SAMPLE_RATE,
        text=transcript.text,
        until=until / SAMPLE_RATE,
        channel=channel,
    )
