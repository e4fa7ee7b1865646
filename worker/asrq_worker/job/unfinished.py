"""What is being said at the moment, heard while nobody else needs the engine, to be read along.

It is cheap beside what is heard anyway: soon the first words, then seldom. Where speech pauses it is heard as a piece,
which it is if the pause lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from asrq_jobs import atoms
from asrq_jobs.errors import CanceledError
from asrq_jobs.events import Event
from asrq_worker.audio.split import Piece
from asrq_worker.backends import guards
from asrq_worker.backends.base import SAMPLE_RATE, ChunkOptions, Transcript
from asrq_worker.engine.chunks import ChunkDone, ChunkTask
from asrq_worker.engine.scheduler import Scheduler
from asrq_worker.job import detection
from asrq_worker.job.agreement import Agreement
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.unfinished")

_LEAST_S = 0.7  # a short word with its paddings
_MORE_S = 10.0  # of speech, at least, before it is heard again: a draft costs two thirds of what the piece will
_NEW = 2 / 3  # of what is heard, at least: all hearings of a stretch then cost half as much again as the last one
_AGAIN = 1.5  # times, at least, as long as nothing came of it, or a loop
_LONGER = 2.0  # times, at least, before it is heard as a piece again: where that was for nothing, it was once as much
_RECENT = 20  # pieces: evidence enough for the language of the next one


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
        self._draft = replace(options, word_timestamps=False, draft=True)
        self._known = known
        self._tell = tell
        self._clock = clock
        self._stretch = 0
        self._start = 0
        self._agreement = Agreement()
        self._pieces: list[Piece] = []
        self._paused = False
        self._heard: dict[tuple[Piece, bool], Transcript] = {}
        self._whole: dict[Piece, Future[ChunkDone]] = {}
        self._whole_s = 0.0
        self._asked: tuple[Piece, bool, Future[ChunkDone]] | None = None
        self._told = True
        self._rests_until = 0.0
        self._given_up = False
        self._loops = False

    def look(self, stretch: int, pieces: Sequence[Piece], before: Mapping[Piece, Transcript], *, paused: bool) -> None:
        """Take what has been heard, tell of it once it is all, and have more heard.

        `stretch` is another number for each stretch, `pieces` are what it would be cut into if it ended now, and
        `before` is what was heard before it. `paused`: it may have ended.
        """
        self._collect()
        if stretch != self._stretch:
            self._stretch, self._agreement, self._pieces, self._told = stretch, Agreement(), [], True
            self._whole, self._whole_s, self._loops = {}, 0.0, False
        if self._told and self._due(pieces, paused):
            if not self._pieces:
                self._start = pieces[0].start
            self._pieces, self._paused, self._told = list(pieces), paused, False
            self._heard = {key: heard for key, heard in self._heard.items() if key[0] in pieces}
            self._whole_s = _seconds(pieces) if paused else self._whole_s
        if self._told or self._asked or self._given_up:
            return
        missing = next((piece for piece in self._pieces if (piece, self._paused) not in self._heard), None)
        if missing is None:
            self._publish()
            return
        options = self._options if self._paused else self._draft_after(before)
        if future := self._scheduler.offer(self._task(missing, options)):
            self._asked = missing, self._paused, future
            if self._paused:
                self._whole[missing] = future

    def take(self, piece: Piece, options: ChunkOptions) -> Future[ChunkDone] | None:
        """Return what becomes of a piece that was begun as it is to be heard."""
        future = self._whole.pop(piece, None) if options == self._options else None
        return future if future and self._scheduler.want(future) else None

    def _due(self, pieces: Sequence[Piece], paused: bool) -> bool:
        spoken_s, before_s = _seconds(pieces), _seconds(self._pieces)
        if spoken_s < _LEAST_S or self._clock() < self._rests_until:
            return False
        if paused:
            return spoken_s >= _LONGER * self._whole_s
        if not self._agreement.text or self._loops:  # the first words may have been none
            return spoken_s >= _AGAIN * before_s
        heard_s = _seconds(each for each in pieces if (each, False) not in self._heard)
        return spoken_s - before_s >= max(_MORE_S, _NEW * heard_s)

    def _collect(self) -> None:
        if self._asked is None or not self._asked[2].done():
            return
        (piece, paused, future), self._asked = self._asked, None
        error = future.exception()
        if error is None:
            self._heard[piece, paused] = future.result().transcript
            self._rests_until = self._clock() + future.result().inference_s  # so half of the time at most is for this
            return
        self._whole_s = 0.0
        self._whole.pop(piece, None)
        if not isinstance(error, CanceledError):  # it will fail again when it is a piece, and then say so
            _log.warning("live.unheard", reason=type(error).__name__)
            self._given_up = True

    def _draft_after(self, before: Mapping[Piece, Transcript]) -> ChunkOptions:
        """Return how to hear on: in the language of the recording, as soon as that is plain."""
        if self._draft.language is not None or not self._known:
            return self._draft
        recent = dict(sorted(before.items(), key=lambda each: -each[0].start)[:_RECENT])
        language = detection.main_language(recent, self._known, self._draft.languages)
        return replace(self._draft, language=language, languages=()) if language else self._draft

    def _publish(self) -> None:
        self._told = True
        heard = [self._heard[piece, self._paused] for piece in self._pieces]
        self._loops = any("repetition" in each.warnings for each in heard)
        text_now = atoms.joined(shown(each) for each in heard)
        if not text_now:
            return
        before = self._agreement.text, self._agreement.stable
        self._agreement.take(text_now)
        text, stable = self._agreement.text, self._agreement.stable
        if (text, stable) != before:
            start, end = self._start / SAMPLE_RATE, self._pieces[-1].stop / SAMPLE_RATE
            self._tell(Event(type="partial", at=time.time(), start=start, end=end, text=text, stable=stable))


def shown(heard: Transcript) -> str:
    """Of a text that goes round in circles only what was said before."""
    return guards.before_loop(heard.text) if "repetition" in heard.warnings else heard.text


def _seconds(pieces: Iterable[Piece]) -> float:
    return sum(piece.seconds for piece in pieces)
