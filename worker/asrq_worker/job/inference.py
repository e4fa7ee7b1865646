"""The decoded audio of one job through one engine: chunk by chunk, with checkpoints and progress."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for

from asrq_jobs.errors import EngineUnavailableError
from asrq_worker.audio.live import Recording
from asrq_worker.audio.sound import Sound
from asrq_worker.audio.split import Piece, split
from asrq_worker.engine.chunks import ChunkDone
from asrq_worker.engine.fleet import Member
from asrq_worker.engine.messages import Loaded
from asrq_worker.job.hearing import Hearing, InferenceJob
from asrq_worker.job.progress import Progress
from asrq_worker.job.transcription import Transcription, findings
from asrq_worker.routing.admission import admit

_POLL_S = 0.2
_HUNG = 75  # looks, one each _POLL_S


def transcribe(
    job: InferenceJob, sound: Sound, member: Member, loaded: Loaded, *, chunk_s: float, stand_in: bool = False
) -> Transcription:
    """Transcribe audio on one engine; `stand_in`: another backend is there to take over.

    Of a recording that goes on, what is settled is heard meanwhile. After its end it is as any other, but for the
    pieces that are done.

    An engine that is past its deadlines for a while, and neither works nor ends, is not waited for.

    Raises:
        AsrqError: what stops the job, or the first chunk that fails.
    """
    options = admit(job.request, loaded.identity, loaded.capabilities)
    longest_s = min(chunk_s, loaded.capabilities.longest_chunk_s)
    # Not the job's id: an execution that lost the job may still be here when the next one on this host has begun.
    flow, progress = uuid.uuid4().hex, Progress(ends=not isinstance(sound, Recording))
    sides = [Hearing(job, side, member, loaded, options, flow=flow, progress=progress) for side in sound.sides]
    hear_out = functools.partial(_hear_out, sides, job, member, stand_in=stand_in)
    try:
        if isinstance(sound, Recording):
            hear_out(_Meanwhile(sound, sides[0], longest_s))
            progress.ends = True
        for hearing, side in zip(sides, sound.sides, strict=True):
            hearing.begin(split(side.spans, longest_s=longest_s, read=side.read))
        hear_out()
    finally:
        member.scheduler.cancel(flow)
    heard = [chunk for hearing in sides for chunk in hearing.chunks()]
    chunks = tuple(sorted(heard, key=lambda chunk: (chunk.start, chunk.channel or 0)))
    work = tuple(done for hearing in sides for done in hearing.work)
    warnings = dict.fromkeys(warning for hearing in sides for warning in hearing.warnings)
    return Transcription(loaded, chunks, work, (*warnings, *findings(chunks, options)))


class _Meanwhile:
    """Has the pieces of a recording heard while it goes on, and what is being said."""

    def __init__(self, recording: Recording, hearing: Hearing, longest_s: float) -> None:
        self._recording = recording
        self._hearing = hearing
        self._longest_s = longest_s
        self._open: list[Piece] = []
        self.look()

    @property
    def over(self) -> bool:
        """Whether the recording has ended."""
        return self._recording.ended

    def grow(self) -> None:
        """Wait for more of it, for a moment."""
        if self._recording.grow(_POLL_S):
            self.look()
        if not self.over:
            self._hearing.hear_open(self._open, paused=self._recording.paused)

    def look(self) -> None:
        """Begin what can be."""
        if not self.over:
            self._hearing.begin_early(self._recording.settled_pieces(longest_s=self._longest_s))
            self._open = self._recording.open_pieces(self._hearing.early_until, longest_s=self._longest_s)


def _hear_out(
    sides: Sequence[Hearing], job: InferenceJob, member: Member, meanwhile: _Meanwhile | None = None, *, stand_in: bool
) -> None:
    """Wait until all that was begun is heard; or, `meanwhile`, until the recording has ended."""
    hung, told = 0, not _pending(sides)
    while not meanwhile.over if meanwhile else _pending(sides):
        job.control.check()
        if stand_in and member.engine.failures.lasting:
            raise EngineUnavailableError(f"The engine of the backend {member.name} does not come back.")
        # Counted in looks: a host that was suspended has not looked meanwhile.
        hung = 0 if meanwhile or member.scheduler.alive(sides[0].flow) else hung + 1
        if hung > _HUNG:
            raise EngineUnavailableError(f"The engine of the backend {member.name} hangs and cannot be killed.")
        if meanwhile:
            meanwhile.grow()
        else:
            for hearing in sides:
                hearing.prepare()
        timeout_s = 0 if meanwhile else _POLL_S
        pending = _pending(sides)
        settled, _ = wait_for(pending, timeout=timeout_s, return_when=FIRST_COMPLETED)
        for hearing in sides:
            hearing.tell_steps()
        if not (settled or told):
            job.journal.event(sides[0].progress.now())  # or the wait for the engine would look like decoding
        told = True
        for future in settled:
            job.control.moved()
            pending[future].settle(future, functools.partial(_heard_until, sides))


def _pending(sides: Sequence[Hearing]) -> dict[Future[ChunkDone], Hearing]:
    return {future: hearing for hearing in sides for future in hearing.pending}


def _heard_until(sides: Sequence[Hearing]) -> int:
    """Return the first sample that is still to be heard, or the last that was."""
    left = [piece.start for hearing in sides for piece, _ in hearing.pending.values()]
    return min(left) if left else max(piece.stop for hearing in sides for piece in hearing.done)
