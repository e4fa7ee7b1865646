"""What is being said at the moment: what is asked of the engine, and what is told of it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from asrq_jobs.errors import AsrqError, CanceledError, OutOfMemoryError
from asrq_jobs.events import Event
from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import SAMPLE_RATE, ChunkOptions, Transcript
from asrq_worker.engine.chunks import ChunkDone
from asrq_worker.job.unfinished import Unfinished

DRAFT = ChunkOptions(draft=True)
TOLD = ChunkOptions(language="ru", draft=True)


def piece(start: float, stop: float) -> Piece:
    return Piece(round(start * SAMPLE_RATE), round(stop * SAMPLE_RATE))


def heard(text: str, language: str = "ru", probability: float = 0.9) -> Transcript:
    languages = ((language, probability), ("pl" if language == "ru" else "ru", 1 - probability))
    return Transcript(text, language, probability, languages=languages)


class Engine:
    """Stands for a scheduler: takes one chunk at a time, unless it is busy."""

    def __init__(self) -> None:
        self.busy = False
        self.asked: list[tuple[Piece, ChunkOptions]] = []
        self.future: Future[ChunkDone] = Future()

    def offer(self, task: Any) -> Future[ChunkDone] | None:
        if self.busy:
            return None
        self.asked.append(task)
        self.future = Future()
        return self.future

    def want(self, future: Future[ChunkDone]) -> bool:
        return not (future.done() and future.exception())

    def answer(self, outcome: Transcript | AsrqError, *, took_s: float = 1.0) -> None:
        if isinstance(outcome, AsrqError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(ChunkDone(outcome, took_s, 0.0, 1, 0))


class Bench:
    """An open stretch, its engine and its clock."""

    def __init__(self, options: ChunkOptions = DRAFT) -> None:
        self.engine, self.told, self.now = Engine(), list[Event](), 0.0
        self.unfinished = Unfinished(
            self.engine,  # type: ignore[arg-type]  # stands for a scheduler
            lambda piece, options: (piece, options),  # type: ignore[arg-type, return-value]
            options,
            frozenset({"ru", "pl", "en"}),
            self.told.append,
            lambda: self.now,
        )
        self.before: dict[Piece, Transcript] = {}
        self.stretch = 0

    def look(self, *pieces: Piece, paused: bool = False) -> list[tuple[Piece, ChunkOptions]]:
        """Look, and return what was asked."""
        asked = len(self.engine.asked)
        self.unfinished.look(self.stretch, pieces, self.before, paused=paused)
        return self.engine.asked[asked:]

    @property
    def texts(self) -> list[tuple[str | None, int | None]]:
        return [(event.text, event.stable) for event in self.told]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_stretch_is_heard_as_it_grows_and_told(bench: Bench) -> None:
    assert bench.look() == bench.look(piece(1, 1.5)) == []
    assert bench.look(piece(1, 2)) == [(piece(1, 2), DRAFT)]
    assert bench.look(piece(1, 13)) == [], "one at a time"
    bench.engine.answer(heard("The ship"), took_s=2.0)
    assert bench.look(piece(1, 13)) == []
    assert [(event.type, event.start, event.end) for event in bench.told] == [("partial", 1.0, 2.0)]
    bench.now = 1.9
    assert bench.look(piece(1, 13)) == [], "it rests as long as the hearing took"
    bench.now = 2.0
    assert bench.look(piece(1, 13)) == [(piece(1, 13), DRAFT)]
    bench.engine.answer(heard("The ship sails"), took_s=0.1)
    assert bench.look(piece(1, 13)) == []
    bench.now = 9.0
    assert bench.look(piece(1, 13)) == [], "nothing was said since"
    assert bench.texts == [("The ship", 0), ("The ship sails", 8)]


def test_what_is_the_same_is_not_told_again(bench: Bench) -> None:
    for stop in (2, 20, 99):
        bench.look(piece(1, stop))
        bench.engine.answer(heard("The ship"))
        bench.look(piece(1, stop))
        bench.now += 9
    assert bench.texts == [("The ship", 0), ("The ship", 3)]


def test_the_next_stretch_begins_with_nothing_agreed(bench: Bench) -> None:
    bench.look(piece(1, 2))
    bench.engine.answer(heard("The ship"))
    bench.look(piece(1, 2))
    bench.stretch, bench.now = 1, 9.0
    assert bench.look(piece(8, 9)) == [(piece(8, 9), DRAFT)]
    bench.engine.answer(heard("The ship sails"))
    bench.look(piece(8, 9))
    assert bench.texts == [("The ship", 0), ("The ship sails", 0)]
    assert [event.start for event in bench.told] == [1.0, 8.0]


def test_what_was_asked_of_another_stretch_is_not_told(bench: Bench) -> None:
    bench.look(piece(1, 2))
    bench.stretch = 1
    assert bench.look(piece(8, 9)) == [], "one at a time"
    bench.engine.answer(heard("The ship"))
    assert bench.look(piece(8, 9)) == [(piece(8, 9), DRAFT)]
    assert bench.told == []


def test_the_longer_it_is_the_more_has_to_be_new(bench: Bench) -> None:
    times = []
    for tenths in range(20, 1000):
        bench.now = tenths / 10
        if bench.look(piece(1, bench.now)):
            times.append(bench.now)
            bench.engine.answer(heard("The ship"), took_s=0.1)
    assert times == [2.0, 12.0, 34.0]


def test_of_a_long_stretch_only_what_is_new_is_heard(bench: Bench) -> None:
    first = piece(1, 20)
    assert bench.look(first, piece(20, 25)) == [(first, DRAFT)]
    bench.engine.answer(heard("One."))
    assert bench.look(first, piece(20, 36)) == [(piece(20, 25), DRAFT)], "all of it as it was at one time"
    assert bench.told == []
    bench.engine.answer(heard("Two."))
    bench.now = 1.0
    assert bench.look(first, piece(20, 36)) == []
    bench.now = 2.0
    assert bench.look(first, piece(20, 36)) == [(piece(20, 36), DRAFT)]
    bench.engine.answer(heard("Two. Three."))
    bench.look(first, piece(20, 36))
    assert bench.texts == [("One. Two.", 0), ("One. Two. Three.", 9)]


def test_where_speech_pauses_it_is_heard_as_the_piece_that_it_may_be() -> None:
    options = ChunkOptions(word_timestamps=True)
    bench = Bench(options)
    bench.look(piece(1, 2))
    bench.engine.answer(heard("The"))
    bench.look(piece(1, 2))
    bench.now = 2.0
    assert bench.look(piece(1, 3), paused=True) == [(piece(1, 3), options)]
    future = bench.engine.future
    assert bench.unfinished.take(piece(1, 3), replace(options, language="ru")) is None
    bench.engine.answer(heard("The ship."))
    bench.now = 4.0
    assert bench.look(piece(1, 3), paused=True) == [], "it goes on"
    assert bench.texts == [("The", 0), ("The ship.", 3)]
    assert bench.unfinished.take(piece(1, 2), options) is None
    assert bench.unfinished.take(piece(1, 3), options) is future
    assert bench.unfinished.take(piece(1, 3), options) is None


def test_what_was_heard_as_a_piece_for_nothing_is_not_soon_heard_so_again() -> None:
    bench, asked = Bench(ChunkOptions()), []
    for stop in range(2, 12):
        bench.now += 9
        if bench.look(piece(1, stop), paused=True):
            asked.append(stop)
            bench.engine.answer(heard("The ship"))
        bench.look(piece(1, stop), paused=True)
    assert asked == [2, 3, 5, 9]


def test_a_piece_whose_hearing_was_dropped_is_not_taken() -> None:
    options = ChunkOptions()
    bench = Bench(options)
    bench.look(piece(1, 3), paused=True)
    bench.engine.answer(CanceledError("There is other work."))
    bench.engine.busy = True
    bench.look(piece(1, 3), paused=True)
    assert bench.unfinished.take(piece(1, 3), options) is None


def test_it_is_heard_in_the_language_of_what_came_before(bench: Bench) -> None:
    bench.before = {piece(0, 1): heard("Да.")}
    assert bench.look(piece(3, 4)) == [(piece(3, 4), DRAFT)], "one word says too little"
    bench.engine.answer(heard("Dzień", "pl"))
    assert bench.look(piece(3, 4)) == []
    bench.before = {piece(0, 20): heard("Прежде.", probability=0.99), piece(21, 22): heard("Dzień", "pl")}
    bench.stretch, bench.now = 1, 9.0
    assert bench.look(piece(30, 32)) == [(piece(30, 32), TOLD)]


def test_a_language_that_was_asked_for_is_that_of_all() -> None:
    bench = Bench(ChunkOptions(language="ru"))
    bench.before = {piece(0, 20): heard("Dzień.", "pl", 0.99)}
    assert bench.look(piece(30, 32)) == [(piece(30, 32), TOLD)]


def test_words_get_no_times_as_nobody_is_told_them() -> None:
    bench = Bench(ChunkOptions(word_timestamps=True))
    assert bench.look(piece(1, 2)) == [(piece(1, 2), DRAFT)]


@pytest.mark.parametrize(
    ("text", "shown"), [("The ship, no. No, no no", ["The ship, no"]), ("It goes round in circles", [])]
)
def test_what_repeats_itself_is_shown_up_to_there(bench: Bench, text: str, shown: list[str]) -> None:
    bench.look(piece(1, 2))
    bench.engine.answer(replace(heard(text), warnings=("repetition",)))
    assert bench.look(piece(1, 2)) == []
    bench.now = 9.0
    assert bench.look(piece(1, 2)) == []
    assert [event.text for event in bench.told] == shown
    assert bench.look(piece(1, 2.4)) == []
    assert bench.look(piece(1, 2.5)) == [(piece(1, 2.5), DRAFT)], "soon, as there is little to read"
    bench.engine.answer(heard("The ship sails"))
    assert bench.look(piece(1, 2.5)) == []
    assert bench.told[-1].text == "The ship sails"
    bench.now = 18.0
    assert bench.look(piece(1, 12)) == [], "and then as seldom as any other"


def test_what_was_dropped_for_other_work_is_heard_later(bench: Bench) -> None:
    bench.engine.busy = True
    assert bench.look(piece(1, 2)) == []
    bench.engine.busy = False
    assert len(bench.look(piece(1, 2))) == 1
    bench.engine.answer(CanceledError("There is other work."))
    assert bench.look(piece(1, 2)) == [(piece(1, 2), DRAFT)]


def test_a_stretch_that_cannot_be_heard_is_left_to_its_piece(bench: Bench) -> None:
    bench.look(piece(1, 2))
    bench.engine.answer(OutOfMemoryError("The device is full."))
    assert bench.look(piece(1, 2)) == bench.look(piece(1, 9)) == []
    assert bench.told == []
