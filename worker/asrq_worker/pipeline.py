"""From a request to a result: fetch, decode, split, transcribe chunk by chunk, merge. Knows no queue."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from dataclasses import asdict, dataclass
from typing import Protocol

from asrq_jobs.errors import AsrqError, CanceledError
from asrq_jobs.events import Event
from asrq_jobs.request import Request
from asrq_jobs.result import AudioInfo, Result, Timings
from asrq_jobs.settings import Settings
from asrq_worker.admission import admit
from asrq_worker.audio.decoder import DecodedAudio, DecoderPool
from asrq_worker.audio.source import LocalAudio, Source
from asrq_worker.audio.split import Piece, split
from asrq_worker.backends.base import SAMPLE_RATE, ChunkOptions, Identity, Transcript
from asrq_worker.control import JobControl
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.scheduler import ChunkDone, ChunkTask, Scheduler
from asrq_worker.merge import Merged, Placed, merge
from asrq_worker.spool import Spool

_PROGRESS_EVERY_S = 0.5
_POLL_S = 0.2
_QUEUED_PATIENCE_S = 600.0  # waiting for a free decoder; each one ahead is bounded by its own stall limit


class Journal(Protocol):
    """Where a running job leaves its trace: events for clients, finished chunks for a later attempt."""

    def event(self, event: Event) -> None:
        """Publish an event."""

    def load(self) -> dict[str, Transcript]:
        """Return the chunks that earlier attempts finished, by checkpoint key."""

    def save(self, key: str, transcript: Transcript) -> None:
        """Keep a finished chunk."""


@dataclass
class _Progress:
    """Throttled progress of one job, as events."""

    journal: Journal
    audio_s: float | None = None
    done_s: float = 0.0
    inference_began: float = 0.0
    _last: float = 0.0

    def decoding(self, seconds: float) -> None:
        now = time.monotonic()
        if now - self._last >= _PROGRESS_EVERY_S:
            self._last = now
            self.journal.event(Event(type="progress", at=time.time(), stage="decode", done_s=round(seconds, 3)))

    def inference(self) -> None:
        assert self.audio_s is not None  # noqa: S101  # decoding has ended
        elapsed = time.monotonic() - self.inference_began
        self.journal.event(
            Event(
                type="progress",
                at=time.time(),
                stage="inference",
                audio_s=round(self.audio_s, 3),
                done_s=round(self.done_s, 3),
                fraction=round(self.done_s / self.audio_s, 4) if self.audio_s else 1.0,
                rtfx=round(self.done_s / elapsed, 2) if elapsed > 0 and self.done_s else None,
            )
        )


class Pipeline:
    """Runs jobs on the decoders and the engine of this host; any number of threads may call `run`."""

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        source: Source,
        decoders: DecoderPool,
        engine: Engine,
        scheduler: Scheduler,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._source = source
        self._decoders = decoders
        self._engine = engine
        self._scheduler = scheduler

    def run(self, request: Request, control: JobControl, journal: Journal) -> Result:
        """Transcribe one request.

        Raises:
            AsrqError: whatever stops the job, from the tree in `asrq_jobs.errors`.
        """
        began = time.monotonic()
        if request.timeout_s is not None:
            control.limit(request.timeout_s)
        # Once loaded it stays so for the pipeline: while the engine restarts, chunks wait in the scheduler.
        loaded = self._engine.loaded or self._engine.wait_ready(self._settings.engine_start_s)
        options = admit(request, loaded.identity, loaded.capabilities)
        progress = _Progress(journal)
        control.expect(_QUEUED_PATIENCE_S)
        local = self._source.fetch(request.audio, control.check)
        try:
            decoded = self._decode(local, request.lane, control, progress)
        finally:
            local.discard()
        decode_s = time.monotonic() - began
        try:
            if request.timeout_s is None:
                control.limit(600.0 + self._settings.job_slowness * decoded.seconds)
            placed, work = self._transcribe(request, decoded, options, loaded.identity, control, journal, progress)
        finally:
            self._scheduler.cancel(request.id)
            decoded.path.unlink(missing_ok=True)
        merged = merge(placed, word_timestamps=options.word_timestamps)
        total_s = time.monotonic() - began
        return _result(
            request,
            loaded.identity,
            local,
            decoded,
            placed,
            merged,
            Timings(
                model_load_s=round(loaded.load_s, 4),
                decode_s=round(decode_s, 4),
                inference_s=round(sum(done.inference_s for done in work), 4),
                total_s=round(total_s, 4),
                rtfx=round(decoded.seconds / total_s, 2),
                batch_size=_mean(done.batch_size for done in work),
                batch_wait_s=_mean(done.wait_s for done in work),
            ),
        )

    def failure(self, request: Request, error: AsrqError) -> Result:
        """Return the result of a request that ended with an error: canceled, or failed."""
        loaded = self._engine.loaded
        return Result(
            id=request.id,
            status="canceled" if isinstance(error, CanceledError) else "failed",
            task=request.task,
            error=error.info(),
            timings=Timings(model_load_s=round(loaded.load_s, 4) if loaded else None),
            **(asdict(loaded.identity) if loaded else {}),
        )

    def _decode(self, local: LocalAudio, lane: str, control: JobControl, progress: _Progress) -> DecodedAudio:
        def on_progress(seconds: float) -> None:
            control.expect(self._settings.decoder_stall_s + self._settings.lease_s)
            progress.decoding(seconds)

        samples = self._spool.new_file(".f32")
        try:
            return self._decoders.decode(
                local.path, samples, on_progress=on_progress, check=control.check, urgent=lane == "interactive"
            )
        except BaseException:
            samples.unlink(missing_ok=True)
            raise

    def _transcribe(
        self,
        request: Request,
        decoded: DecodedAudio,
        options: ChunkOptions,
        identity: Identity,
        control: JobControl,
        journal: Journal,
        progress: _Progress,
    ) -> tuple[list[Placed], list[ChunkDone]]:
        pieces = split(decoded.spans, longest_s=self._settings.chunk_s, read=decoded.read)
        finished = journal.load() if pieces else {}
        done: dict[Piece, Transcript] = {}
        pending: dict[Future[ChunkDone], Piece] = {}
        progress.audio_s = sum(piece.stop - piece.start for piece in pieces) / SAMPLE_RATE
        progress.inference_began = time.monotonic()
        for piece in pieces:
            known = finished.get(checkpoint_key(piece, options, identity))
            if known is not None:
                done[piece] = known
                progress.done_s += (piece.stop - piece.start) / SAMPLE_RATE
            else:
                task = ChunkTask(request.id, request.lane, decoded.path, piece.start, piece.stop, options)
                pending[self._scheduler.submit(task)] = piece
        work: list[ChunkDone] = []
        control.expect(self._settings.lease_s)
        while pending:
            control.check()
            if self._scheduler.alive(request.id):
                control.moved()
            ready, _ = wait_for(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for future in ready:
                piece = pending.pop(future)
                chunk = future.result()
                work.append(chunk)
                done[piece] = chunk.transcript
                journal.save(checkpoint_key(piece, options, identity), chunk.transcript)
                progress.done_s += (piece.stop - piece.start) / SAMPLE_RATE
                journal.event(
                    Event(
                        type="chunk",
                        at=time.time(),
                        start=piece.start / SAMPLE_RATE,
                        end=piece.stop / SAMPLE_RATE,
                        text=chunk.transcript.text,
                    )
                )
            if ready:
                progress.inference()
        return [Placed(p.start / SAMPLE_RATE, p.stop / SAMPLE_RATE, done[p]) for p in pieces], work


def checkpoint_key(piece: Piece, options: ChunkOptions, identity: Identity) -> str:
    """Name a finished chunk by everything that its text depends on, so that no other model's work is reused."""
    depends = repr((sorted(asdict(options).items()), identity.backend, identity.model, identity.model_revision))
    return f"{piece.start}-{piece.stop}-{hashlib.sha256(depends.encode()).hexdigest()[:16]}"


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(sum(found) / len(found), 4) if found else None


def _result(
    request: Request,
    served: Identity,
    local: LocalAudio,
    decoded: DecodedAudio,
    placed: list[Placed],
    merged: Merged,
    timings: Timings,
) -> Result:
    warnings = (*decoded.warnings, *merged.warnings)
    return Result(
        id=request.id,
        status="completed",
        task=request.task,
        language=merged.language,
        language_probability=merged.language_probability,
        duration=round(decoded.seconds, 3),
        duration_after_vad=round(sum(chunk.end - chunk.start for chunk in placed), 3),
        text=merged.text,
        segments=merged.segments,
        words=merged.words if request.word_timestamps else None,
        **asdict(served),
        audio=AudioInfo(
            sha256=local.sha256,
            bytes=local.bytes,
            name=local.name,
            container=decoded.container,
            codec=decoded.codec,
            sample_rate=decoded.sample_rate,
            channels=decoded.channels,
        ),
        timings=timings,
        truncated=merged.truncated,
        warnings=warnings if placed else (*warnings, "no_speech"),
    )
