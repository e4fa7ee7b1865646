"""The pieces of one sound on their way through one engine, each begun, kept and told of."""

from __future__ import annotations

import functools
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from asrq_jobs.errors import OutOfMemoryError
from asrq_jobs.events import Event
from asrq_jobs.request import Request
from asrq_worker.audio.live import Recording
from asrq_worker.audio.sound import Sound
from asrq_worker.audio.split import Piece, Span, split_again
from asrq_worker.backends.base import SAMPLE_RATE, ChunkOptions, Transcript
from asrq_worker.engine.chunks import ChunkDone, ChunkTask
from asrq_worker.engine.fleet import Member
from asrq_worker.engine.messages import Loaded
from asrq_worker.engine.out_of_memory import Step, can_be_split
from asrq_worker.job import detection
from asrq_worker.job.checkpoints import Checkpoints
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.job.merge import ChunkTranscript
from asrq_worker.job.progress import Progress, told
from asrq_worker.job.unfinished import Unfinished
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.inference")

_AGAIN = 2  # what may hold two languages is heard once more in its stretches, and these once they have a language


@dataclass(frozen=True)
class InferenceJob:
    """What one job brings to inference."""

    request: Request
    control: JobControl
    journal: Journal


class Hearing:
    """Those of a job's sound, or of one channel of it. `flow` and `progress` are the job's."""

    def __init__(
        self,
        job: InferenceJob,
        sound: Sound,
        member: Member,
        loaded: Loaded,
        options: ChunkOptions,
        *,
        flow: str,
        progress: Progress,
    ) -> None:
        """Nothing is begun yet."""
        self._job = job
        self._sound = sound
        self._member = member
        self._options = options
        self._known = loaded.capabilities.languages
        self._checkpoints = Checkpoints(
            job.journal, sound, loaded.fingerprint, expected=bool(sound.spans) or isinstance(sound, Recording)
        )
        self._early: dict[Piece, None] = {}
        self._unfinished = Unfinished(
            member.scheduler, self._task, options, loaded.capabilities.languages, job.journal.event
        )
        self._steps: queue.SimpleQueue[tuple[Piece, Step]] = queue.SimpleQueue()
        self.done: dict[Piece, Transcript] = {}
        self.pending: dict[Future[ChunkDone], tuple[Piece, ChunkOptions]] = {}
        self.work: list[ChunkDone] = []
        self.warnings: dict[str, None] = {}
        self.progress = progress
        self.flow = flow
        self._rounds: Iterator[None] = iter(())
        self._tells = True  # but not while something is heard only to find out its language
        self._foresees = False
        self._foreseen_s = 0.0
        self._looks_at = 1
        self._ends_at_once = not (job.request.diarize or job.request.deliver)

    def begin(self, pieces: Iterable[Piece]) -> None:
        """Begin what is to be heard."""
        self._rounds = self._in_rounds(pieces)
        self._go_on()

    def _go_on(self) -> None:
        """Begin what comes next, if that depends on nothing that is still being heard."""
        while not self.pending and next(self._rounds, self) is not self:
            pass

    def _in_rounds(self, pieces: Iterable[Piece]) -> Iterator[None]:
        """Begin what is to be heard, and yield each time that what comes next depends on what it is.

        Where no language is asked for, a piece is heard in the one that the model finds there. So in a recording in one
        language each is heard once; only those that were taken for another, or may hold two, are heard again.
        """
        self._begin(self._without_early(pieces), self._options)
        self._foresees = self._options.language is None and bool(self._known)
        yield
        self._foresees = False
        if self._options.language is not None or not self._known:
            return
        whole, self.done = self.done, {}
        self._tells = False
        mixed = detection.mixed(whole, self._known, self._options.languages)
        for piece in mixed:
            self._begin(_stretches(piece, self._sound.spans), self._options)
        self._foresee(_seconds(mixed) if self.pending else 0.0)
        yield
        self._foresee(0.0)
        settled = detection.settle(whole, self.done, self._known, self._options.languages)
        self.done = dict(settled.kept)
        self._tells = True
        for piece, (language, _) in settled.again.items():
            self._begin([piece], replace(self._options, language=language, languages=()))
        yield
        for piece, (_, probability) in settled.again.items():
            heard = self.done.get(piece)
            if heard is not None and heard.text:  # else it was heard in parts, for lack of memory, or is no speech
                self.done[piece] = replace(heard, language_probability=probability)
        if settled.unsure:
            self.warnings["language_unsure"] = None

    def begin_early(self, pieces: Iterable[Piece]) -> None:
        """Have pieces of a recording that goes on transcribed, each once."""
        fresh = [piece for piece in pieces if piece not in self._early]
        self._early |= dict.fromkeys(fresh)
        self._begin(fresh, self._options)

    @property
    def early_until(self) -> int:
        """The sample where the last of them ends."""
        return max((piece.stop for piece in self._early), default=0)

    def hear_open(self, pieces: Sequence[Piece], *, paused: bool) -> None:
        """Have the stretch after them heard as it is now, unless something else is to be heard."""
        if not self.pending:
            self._unfinished.look(len(self._early), pieces, self.done, paused=paused)

    def _without_early(self, pieces: Iterable[Piece]) -> list[Piece]:
        """Forget what was begun early and is none of the pieces after all, as the level of the sound changed later (see
        `audio.listening`); return those that were not begun."""
        pieces = list(pieces)
        kept, strays = self._early.keys() & set(pieces), self._early.keys() - set(pieces)
        if strays:
            if "chunk_split" in self.warnings:  # who knows of which a part is
                kept = set()
            self.done = {piece: heard for piece, heard in self.done.items() if piece in kept}
            self.pending = {future: begun for future, begun in self.pending.items() if begun[0] in kept}
        return [piece for piece in pieces if piece not in kept]

    def _begin(self, pieces: Iterable[Piece], options: ChunkOptions) -> None:
        """Have pieces transcribed, but for those that an earlier attempt finished."""
        pieces = list(pieces)
        # First, as what is submitted drops what is not taken.
        taken = {piece: self._unfinished.take(piece, options) for piece in pieces}
        fresh: list[Piece] = []
        for piece in pieces:
            if finished := self._checkpoints.find(piece, options):
                self.done[piece] = finished
                self.progress.restored(piece)
            elif self._finished_in_part(piece, options):
                self._begin_parts(piece, options)
                continue
            elif future := taken[piece]:
                self.pending[future] = piece, options
            else:
                fresh.append(piece)
            self.progress.expect(piece.seconds)
        if fresh:
            futures = self._member.scheduler.submit([self._task(piece, options) for piece in fresh])
            self.pending |= {future: (piece, options) for future, piece in zip(futures, fresh, strict=True)}

    def prepare(self) -> None:
        """Use the time until the next piece is heard; what is heard last is not kept as a rule."""
        if len(self.pending) > self._ends_at_once:
            self._checkpoints.expect(*next(iter(self.pending.values())))

    def settle(self, future: Future[ChunkDone], heard_until: Callable[[], int]) -> None:
        """Take what became of a piece; one that does not fit into memory goes again in parts, if it is long enough.

        `heard_until` tells the first sample of the job that is still to be heard.

        Raises:
            AsrqError: why it failed.
        """
        piece, options = self.pending.pop(future)
        if isinstance(future.exception(), OutOfMemoryError) and can_be_split(piece.seconds):
            self.progress.expect(-piece.seconds)
            self._begin_parts(piece, options)
            self._go_on()
            return
        chunk = future.result()
        self.work.append(chunk)
        self.done[piece] = chunk.transcript
        events = []
        if self._tells:
            events.append(told(piece, chunk.transcript, heard_until(), channel=self._sound.channel))
        self.progress.heard(piece)
        self._look_ahead()
        self._go_on()  # first, or the last piece of a round would be told as the end
        events.append(self.progress.now())
        if self.progress.over and self._ends_at_once:
            self._job.journal.conclude(*events)
        else:
            self._checkpoints.save(piece, options, chunk.transcript, *events)

    def _look_ahead(self) -> None:
        """Foresee how much is to be heard again, by what has been heard once; seldom, as it takes in all of that."""
        if not self._foresees or len(self.done) < self._looks_at:
            return
        self._looks_at = len(self.done) * 9 // 8 + 1
        mixed = detection.mixed(self.done, self._known, self._options.languages)
        share = _seconds(mixed) / _seconds(self.done)
        self._foresee(_AGAIN * share * (_seconds(self.done) + _seconds(piece for piece, _ in self.pending.values())))

    def _foresee(self, seconds: float) -> None:
        """Expect so much beside what is begun."""
        self.progress.expect(seconds - self._foreseen_s)
        self._foreseen_s = seconds

    def chunks(self) -> Iterator[ChunkTranscript]:
        """Yield what was heard, each in its place."""
        for piece, heard in self.done.items():
            yield ChunkTranscript(
                piece.start / SAMPLE_RATE, piece.stop / SAMPLE_RATE, heard, channel=self._sound.channel
            )

    def tell_steps(self) -> None:
        """Log and publish what was done since the last time because memory ran out."""
        while not self._steps.empty():
            piece, step = self._steps.get()
            start, end = piece.start / SAMPLE_RATE, piece.stop / SAMPLE_RATE
            _log.warning(
                "job.out_of_memory", id=self._job.request.id, backend=self._member.name, step=step, start=start, end=end
            )
            event = Event(type="progress", at=time.time(), stage="inference", step=step.value, start=start, end=end)
            self._job.journal.event(event)

    def _task(self, piece: Piece, options: ChunkOptions) -> ChunkTask:
        on_step = functools.partial(self._note_step, piece)
        lane, path = self._job.request.lane, self._sound.path
        return ChunkTask(self.flow, lane, path, piece.start, piece.stop, options, on_step)

    def _note_step(self, piece: Piece, step: Step) -> None:
        self._steps.put((piece, step))  # told by the job's own thread: the engine's does not wait for Redis

    def _begin_parts(self, piece: Piece, options: ChunkOptions) -> None:
        self.warnings["chunk_split"] = None
        self._begin(self._parts(piece), options)

    def _parts(self, piece: Piece) -> list[Piece]:
        return split_again(piece, self._sound.spans, read=self._sound.read)

    def _finished_in_part(self, piece: Piece, options: ChunkOptions) -> bool:
        """Whether an earlier attempt cut a piece and finished some of it."""
        return (
            self._checkpoints.inside(piece)
            and can_be_split(piece.seconds)
            and any(
                self._checkpoints.find(part, options) or self._finished_in_part(part, options)
                for part in self._parts(piece)
            )
        )


def _seconds(pieces: Iterable[Piece]) -> float:
    return sum(piece.seconds for piece in pieces)


def _stretches(piece: Piece, spans: Sequence[Span]) -> list[Piece]:
    """Return the speech of a piece between its pauses; nothing where it has none."""
    inside = [Piece(max(start, piece.start), min(stop, piece.stop)) for start, stop in spans]
    found = [stretch for stretch in inside if stretch.start < stretch.stop]
    return found if len(found) > 1 else []
