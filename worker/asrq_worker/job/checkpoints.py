"""Finished stretches of a job, kept for its next attempt under a name that says all that decides their text."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict
from typing import Protocol

from asrq_jobs.events import Event
from asrq_worker.audio.sound import Sound
from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import ChunkOptions, Samples, Transcript


class Kept(Protocol):
    """Where they are kept."""

    def load(self) -> dict[str, Transcript]:
        """Return what earlier attempts finished, by name."""

    def save(self, key: str, transcript: Transcript, *events: Event) -> None:
        """Keep a finished stretch, and publish events with it."""


class Checkpoints:
    """Those of one job on one engine."""

    def __init__(self, kept: Kept, decoded: Sound, fingerprint: str, *, expected: bool = True) -> None:
        """`fingerprint` is the engine's (`engine.fingerprint`); `expected`: there may be any."""
        self._kept = kept
        self._decoded = decoded
        self._fingerprint = fingerprint
        self._finished = kept.load() if expected else {}
        places = filter(None, map(_PLACE.fullmatch, self._finished))
        self._places = {Piece(int(place[1]), int(place[2])) for place in places}
        self._next: tuple[Piece, ChunkOptions, str] | None = None

    def find(self, piece: Piece, options: ChunkOptions) -> Transcript | None:
        """Return what an earlier attempt heard of the same samples in the same way; the file may have changed since."""
        if piece not in self._places or piece.stop > self._decoded.samples:
            return None
        return self._finished.get(self._name(piece, options))

    def inside(self, piece: Piece) -> bool:
        """Whether an earlier attempt may have finished some of a piece."""
        return any(piece.start <= other.start and other.stop <= piece.stop for other in self._places)

    def expect(self, piece: Piece, options: ChunkOptions) -> None:
        """Prepare for a piece that is being heard: what would take time once it is finished takes none of anybody."""
        if self._next is None or self._next[:2] != (piece, options):
            self._next = piece, options, self._name(piece, options)

    def save(self, piece: Piece, options: ChunkOptions, transcript: Transcript, *events: Event) -> None:
        """Keep a finished piece, and publish events with it."""
        self._kept.save(self._name(piece, options), transcript, *events)

    def _name(self, piece: Piece, options: ChunkOptions) -> str:
        if self._next is not None and self._next[:2] == (piece, options):
            return self._next[2]
        return name(piece, self._decoded.read(piece.start, piece.stop), options, self._fingerprint)


_PLACE = re.compile(r"(\d{1,12})-(\d{1,12})-\w+", re.ASCII)


def name(piece: Piece, samples: Samples, options: ChunkOptions, fingerprint: str) -> str:
    """Name a finished piece by all that its text depends on, so that neither another recording's nor another model's
    is reused: its place, what is heard there, what is asked, and by what it was heard (`engine.fingerprint`).
    """
    depends = hashlib.sha256(repr((sorted(asdict(options).items()), fingerprint)).encode())
    depends.update(samples.astype("<f4", copy=False).tobytes())
    return f"{piece.start}-{piece.stop}-{depends.hexdigest()[:32]}"
