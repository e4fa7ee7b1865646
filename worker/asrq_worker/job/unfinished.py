"""What is being said at the moment: heard again and again, while nobody else needs the engine, to be read along."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import islice

from asrq_jobs import atoms
from asrq_jobs.errors import CanceledError
from asrq_jobs.events import Event
from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import SAMPLE_RATE, ChunkOptions, Transcript
from asrq_worker.engine.chunks import ChunkDone, ChunkTask
from asrq_worker.engine.scheduler import Scheduler
from asrq_worker.job import detection
from asrq_worker.job.agreement import Agreement
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.unfinished")

_LEAST_S = 0.7  # a short word with its paddings
_RECENT = 20  # pieces: evidence enough for the language of the next one

Asked = tuple[Piece, ChunkOptions]


class Unfinished:
    """The open stretch of one recording, on one engine."""

    def __init__(
        self,
        scheduler: Scheduler,
        task: Callable[[Piece, ChunkOptions], ChunkTask],
        options: ChunkOptions,
        known: frozenset[str],
        tell: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`known` are the languages that can be asked for; `tell` publishes an event."""
        self._scheduler = scheduler
        self._task = task
        self._options = options
        self._known = known
        self._tell = tell
        self._clock = clock
        self._stretch = 0
        self._start = 0
        self._agreement = Agreement()
        self._pieces: list[Piece] = []
        self._told = True
        self._heard: dict[Asked, Future[ChunkDone]] = {}
        self._asked: tuple[Asked, Future[ChunkDone]] | None = None
        self._rests_until = 0.0
        self._given_up = False

    def look(self, stretch: int, pieces: Sequence[Piece], before: Mapping[Piece, Transcript]) -> None:
        """Take what has been heard, tell of it once it is all, and have more heard.

        `stretch` is another number for each stretch, `pieces` are what it would be cut into if it ended now, and
        `before` is what was heard before it.
        """
        if self._asked and self._asked[1].done():
            self._keep(*self._asked)
            self._asked = None
        if stretch != self._stretch:
            self._stretch, self._agreement, self._pieces, self._told = stretch, Agreement(), [], True
        if self._told and self._due(pieces):
            if not self._pieces:
                self._start = pieces[0].start
            self._pieces, self._told = list(pieces), False
            self._heard = {asked: done for asked, done in self._heard.items() if asked[0] in pieces}
        if self._told or self._asked or self._given_up:
            return
        wanted = [self._wanted(piece, before) for piece in self._pieces]
        if missing := next((asked for asked in wanted if asked not in self._heard), None):
            future = self._scheduler.offer(self._task(*missing))
            self._asked = (missing, future) if future else None
        else:
            self._publish([self._heard[asked].result().transcript.text for asked in wanted])

    def adopt(self, piece: Piece, options: ChunkOptions) -> Future[ChunkDone] | None:
        """Return what became, or becomes, of a piece that is now to be heard in any case, if it was begun here."""
        if self._asked and self._asked[0] == (piece, options):
            asked, future = self._asked
            self._asked = None
            if self._scheduler.claim(future):
                return future
            self._keep(asked, future)
        return self._heard.pop((piece, options), None)

    def _due(self, pieces: Sequence[Piece]) -> bool:
        speech = sum(piece.seconds for piece in pieces)
        return speech >= _LEAST_S and pieces != self._pieces and self._clock() >= self._rests_until

    def _keep(self, asked: Asked, future: Future[ChunkDone]) -> None:
        error = future.exception() if future.done() else None
        if not future.done() or isinstance(error, CanceledError):
            return
        if error:  # it will fail again when it is a piece, and then say so
            _log.warning("live.unheard", reason=type(error).__name__)
            self._given_up = True
            return
        self._heard[asked] = future
        self._rests_until = self._clock() + future.result().inference_s  # half of the time at most is for this

    def _wanted(self, piece: Piece, before: Mapping[Piece, Transcript]) -> Asked:
        """Return how a piece is to be heard: in the language that the recording turns out to have there."""
        plain = piece, self._options
        if self._options.language is not None or not self._known or plain not in self._heard:
            return plain
        recent = dict(islice(sorted(before.items(), key=lambda each: -each[0].start), _RECENT))
        whole = recent | {piece: self._heard[plain].result().transcript}
        again = detection.settle(whole, {}, self._known, self._options.languages).again
        if piece not in again:
            return plain
        return piece, replace(self._options, language=again[piece][0], languages=())

    def _publish(self, texts: Sequence[str]) -> None:
        self._told = True
        before = self._agreement.text, self._agreement.stable
        self._agreement.take(atoms.joined(texts))
        text, stable = self._agreement.text, self._agreement.stable
        if (text, stable) != before:
            start, end = self._start / SAMPLE_RATE, self._pieces[-1].stop / SAMPLE_RATE
            self._tell(Event(type="partial", at=time.time(), start=start, end=end, text=text, stable=stable))
