"""The decoded audio of one job through one engine: chunk by chunk, with checkpoints and progress."""

from __future__ import annotations

import hashlib
import time
import uuid
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from dataclasses import asdict, dataclass
from typing import Protocol

from asrq_jobs.errors import CondemnedOutputError, EngineUnavailableError
from asrq_jobs.events import Event
from asrq_jobs.request import Request
from asrq_worker.admission import admit
from asrq_worker.audio.decoder import DecodedAudio
from asrq_worker.audio.split import Piece, split
from asrq_worker.backends import guards
from asrq_worker.backends.base import SAMPLE_RATE, ChunkOptions, Identity, Transcript
from asrq_worker.control import JobControl
from asrq_worker.engine.messages import Loaded
from asrq_worker.engine.scheduler import ChunkDone, ChunkTask
from asrq_worker.fleet import Berth
from asrq_worker.merge import Placed

_POLL_S = 0.2
_CONDEMNED = frozenset({"repetition", "wrong_script", "too_long"})


class Journal(Protocol):
    """Where a running job leaves its trace: events for clients, finished chunks for a later attempt."""

    def event(self, event: Event) -> None:
        """Publish an event."""

    def load(self) -> dict[str, Transcript]:
        """Return the chunks that earlier attempts finished, by checkpoint key."""

    def save(self, key: str, transcript: Transcript) -> None:
        """Keep a finished chunk."""


@dataclass(frozen=True)
class Job:
    """What one job brings to inference."""

    request: Request
    control: JobControl
    journal: Journal


@dataclass(frozen=True)
class Heard:
    """What an engine made of a job: every chunk in its place, and the work it was (checkpoints are none)."""

    loaded: Loaded
    placed: tuple[Placed, ...]
    work: tuple[ChunkDone, ...]
    warnings: tuple[str, ...]


def ready(berth: Berth, control: JobControl, *, within_s: float) -> Loaded:
    """Return what is loaded, waiting for the first load; later, while the engine restarts, chunks wait instead.

    Raises:
        SetupError, EngineError: it cannot be loaded.
    """
    deadline = time.monotonic() + within_s
    control.expect(within_s)
    while (loaded := berth.engine.loaded) is None:
        control.check()
        if berth.engine.final and berth.engine.error is not None:
            raise berth.engine.error
        if time.monotonic() > deadline:
            raise EngineUnavailableError(f"The backend {berth.name} was not ready within {within_s:g} s.")
        control.wake.wait(_POLL_S)
    return loaded


def transcribe(
    job: Job, decoded: DecodedAudio, berth: Berth, loaded: Loaded, *, chunk_s: float, lease_s: float
) -> Heard:
    """Transcribe decoded audio on one engine.

    Raises:
        AsrqError: what stops the job, or the first chunk that fails.
    """
    request, control, journal = job.request, job.control, job.journal
    options = admit(request, loaded.identity, loaded.capabilities)
    longest_s = min(chunk_s, loaded.capabilities.longest_chunk_s)
    pieces = split(decoded.spans, longest_s=longest_s, read=decoded.read)
    finished = journal.load() if pieces else {}
    progress = _Progress(journal, sum(piece.seconds for piece in pieces))
    done: dict[Piece, Transcript] = {}
    pending: dict[Future[ChunkDone], Piece] = {}
    work: list[ChunkDone] = []
    # Not the job's id: an execution that lost the job may still be here when the next one on this host has begun.
    turn = uuid.uuid4().hex
    control.expect(lease_s)
    try:
        for piece in pieces:
            known = finished.get(checkpoint_key(piece, options, loaded.identity))
            if known is not None:
                done[piece] = known
                progress.done_s += piece.seconds
            else:
                task = ChunkTask(turn, request.lane, decoded.path, piece.start, piece.stop, options)
                pending[berth.scheduler.submit(task)] = piece
        while pending:
            control.check()
            if berth.scheduler.alive(turn):
                control.moved()
            settled, _ = wait_for(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for future in settled:
                piece = pending.pop(future)
                chunk = future.result()
                work.append(chunk)
                done[piece] = chunk.transcript
                journal.save(checkpoint_key(piece, options, loaded.identity), chunk.transcript)
                progress.chunk(piece, chunk.transcript)
            if settled:
                progress.tell()
    finally:
        berth.scheduler.cancel(turn)
    placed = tuple(Placed(p.start / SAMPLE_RATE, p.stop / SAMPLE_RATE, done[p]) for p in pieces)
    return Heard(loaded, placed, tuple(work), _findings(placed, options))


def condemn(heard: Heard) -> None:
    """Refuse a transcript that is plainly wrong.

    Raises:
        CondemnedOutputError: another backend may do better.
    """
    told = {warning for chunk in heard.placed for warning in chunk.transcript.warnings}  # a backend may see more
    condemned = sorted(_CONDEMNED & (told | set(heard.warnings)))
    if condemned:
        raise CondemnedOutputError(f"The output of {heard.loaded.identity.backend} shows {', '.join(condemned)}.")


def checkpoint_key(piece: Piece, options: ChunkOptions, identity: Identity) -> str:
    """Name a finished chunk by everything that its text depends on, so that no other model's work is reused."""
    depends = repr((sorted(asdict(options).items()), identity.backend, identity.model, identity.model_revision))
    return f"{piece.start}-{piece.stop}-{hashlib.sha256(depends.encode()).hexdigest()[:16]}"


def _findings(placed: tuple[Placed, ...], options: ChunkOptions) -> tuple[str, ...]:
    """Names of what the guards find in any chunk; a translation is English whatever was spoken."""
    language = "en" if options.task == "translate" else options.language
    found: dict[str, None] = {}
    for chunk in placed:
        text = chunk.transcript.text
        if text:
            judged = guards.judge(
                text, language=language, seconds=chunk.end - chunk.start, truncated=chunk.transcript.truncated
            )
            found.update(dict.fromkeys(finding.name for finding in judged))
    return tuple(found)


@dataclass
class _Progress:
    journal: Journal
    audio_s: float
    done_s: float = 0.0

    def __post_init__(self) -> None:
        self._began = time.monotonic()

    def chunk(self, piece: Piece, transcript: Transcript) -> None:
        self.done_s += piece.seconds
        start, end = piece.start / SAMPLE_RATE, piece.stop / SAMPLE_RATE
        self.journal.event(Event(type="chunk", at=time.time(), start=start, end=end, text=transcript.text))

    def tell(self) -> None:
        elapsed = time.monotonic() - self._began
        self.journal.event(
            Event(
                type="progress",
                at=time.time(),
                stage="inference",
                audio_s=round(self.audio_s, 3),
                done_s=round(self.done_s, 3),
                fraction=round(self.done_s / self.audio_s, 4),
                rtfx=round(self.done_s / elapsed, 2) if elapsed > 0 else None,
            )
        )
