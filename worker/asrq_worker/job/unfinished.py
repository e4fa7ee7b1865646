"""What is being said at the moment: heard again and again, while nobody else needs the engine, to be read along."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

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
_EVERY_S = 1.0  # a new word or three
_NEW = 1 / 6  # of what is heard, at least: all hearings then cost a few times the last one, however long that gets
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
        self._options = replace(options, word_timestamps=False, draft=True)
        self._known = known
        self._tell = tell
        self._clock = clock
        self._stretch = 0
        self._start = 0
        self._agreement = Agreement()
        self._pieces: list[Piece] = []
        self._heard: dict[Piece, Transcript] = {}
        self._asked: tuple[Piece, Future[ChunkDone]] | None = None
        self._told = True
        self._rests_until = 0.0
        self._given_up = False

    def look(self, stretch: int, pieces: Sequence[Piece], before: Mapping[Piece, Transcript]) -> None:
        """Take what has been heard, tell of it once it is all, and have more heard.

        `stretch` is another number for each stretch, `pieces` are what it would be cut into if it ended now, and
        `before` is what was heard before it.
        """
        self._collect()
        if stretch != self._stretch:
            self._stretch, self._agreement, self._pieces, self._told = stretch, Agreement(), [], True
        if self._told and self._due(pieces):
            if not self._pieces:
                self._start = pieces[0].start
            self._pieces, self._told = list(pieces), False
            self._heard = {piece: heard for piece, heard in self._heard.items() if piece in pieces}
        if self._told or self._asked or self._given_up:
            return
        missing = next((piece for piece in self._pieces if piece not in self._heard), None)
        if missing is None:
            self._publish()
        elif future := self._scheduler.offer(self._task(missing, self._options_after(before))):
            self._asked = missing, future
            self._rests_until = self._clock() + _EVERY_S

    def _due(self, pieces: Sequence[Piece]) -> bool:
        spoken_s = _seconds(pieces)
        new_s, heard_s = spoken_s - _seconds(self._pieces), _seconds(each for each in pieces if each not in self._heard)
        return spoken_s >= _LEAST_S and new_s > 0 and new_s >= _NEW * heard_s and self._clock() >= self._rests_until

    def _collect(self) -> None:
        if self._asked is None or not self._asked[1].done():
            return
        (piece, future), self._asked = self._asked, None
        error = future.exception()
        if error is None:
            self._heard[piece] = future.result().transcript
            half = self._clock() + future.result().inference_s  # of the time at most is for this
            self._rests_until = max(self._rests_until, half)
        elif not isinstance(error, CanceledError):  # it will fail again when it is a piece, and then say so
            _log.warning("live.unheard", reason=type(error).__name__)
            self._given_up = True

    def _options_after(self, before: Mapping[Piece, Transcript]) -> ChunkOptions:
        """Return how to hear on: in the language of the recording, as soon as that is plain."""
        if self._options.language is not None or not self._known:
            return self._options
        recent = dict(sorted(before.items(), key=lambda each: -each[0].start)[:_RECENT])
        language = detection.main_language(recent, self._known, self._options.languages)
        return replace(self._options, language=language, languages=()) if language else self._options

    def _publish(self) -> None:
        self._told = True
        heard = [self._heard[piece] for piece in self._pieces]
        if any("repetition" in each.warnings for each in heard):
            return
        before = self._agreement.text, self._agreement.stable
        self._agreement.take(atoms.joined(each.text for each in heard))
        text, stable = self._agreement.text, self._agreement.stable
        if (text, stable) != before:
            start, end = self._start / SAMPLE_RATE, self._pieces[-1].stop / SAMPLE_RATE
            self._tell(Event(type="partial", at=time.time(), start=start, end=end, text=text, stable=stable))


def _seconds(pieces: Iterable[Piece]) -> float:
    return sum(piece.seconds for piece in pieces)
