"""What is being said at the moment: what is asked of the engine, and what is told of it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from asrq_jobs.errors import AsrqError, CanceledError, OutOfMemoryError
from asrq_jobs.events import Event
from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import SAMPLE_RATE, ChunkOptions, Transcript
from asrq_worker.engine.chunks import ChunkDone
from asrq_worker.job.unfinished import Unfinished

OPTIONS = ChunkOptions()
TOLD = ChunkOptions(language="ru")


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
        self.claimed: list[Future[ChunkDone]] = []

    def offer(self, task: Any) -> Future[ChunkDone] | None:
        if self.busy:
            return None
        self.asked.append(task)
        self.future = Future()
        return self.future

    def claim(self, future: Future[ChunkDone]) -> bool:
        self.claimed.append(future)
        return not future.done()

    def answer(self, outcome: Transcript | AsrqError, *, took_s: float = 1.0) -> None:
        if isinstance(outcome, AsrqError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(ChunkDone(outcome, took_s, 0.0, 1, 0))


class Bench:
    """An open stretch, its engine and its clock."""

    def __init__(self, options: ChunkOptions = OPTIONS) -> None:
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

    def look(self, *pieces: Piece) -> list[tuple[Piece, ChunkOptions]]:
        """Look, and return what was asked."""
        asked = len(self.engine.asked)
        self.unfinished.look(self.stretch, pieces, self.before)
        return self.engine.asked[asked:]

    @property
    def texts(self) -> list[tuple[str | None, int | None]]:
        return [(event.text, event.stable) for event in self.told]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_stretch_is_heard_as_it_grows_and_told(bench: Bench) -> None:
    assert bench.look() == bench.look(piece(1, 1.5)) == []
    assert bench.look(piece(1, 2)) == [(piece(1, 2), OPTIONS)]
    assert bench.look(piece(1, 3)) == [], "one at a time"
    bench.engine.answer(heard("The ship"))
    assert bench.look(piece(1, 4)) == []
    assert [(event.type, event.start, event.end) for event in bench.told] == [("partial", 1.0, 2.0)]
    assert bench.look(piece(1, 4)) == [], "it rests as long as the hearing took"
    bench.now = 1.0
    assert bench.look(piece(1, 4)) == [(piece(1, 4), OPTIONS)]
    bench.engine.answer(heard("The ship sails"))
    assert bench.look(piece(1, 4)) == []
    bench.now = 9.0
    assert bench.look(piece(1, 4)) == [], "nothing was said since"
    assert bench.texts == [("The ship", 0), ("The ship sails", 8)]


def test_what_is_the_same_is_not_told_again(bench: Bench) -> None:
    for stop in (2, 3, 4):
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
    assert bench.look(piece(8, 9)) == [(piece(8, 9), OPTIONS)]
    bench.engine.answer(heard("The ship sails"))
    bench.look(piece(8, 9))
    assert bench.texts == [("The ship", 0), ("The ship sails", 0)]
    assert [event.start for event in bench.told] == [1.0, 8.0]


def test_what_was_asked_of_another_stretch_is_not_told(bench: Bench) -> None:
    bench.look(piece(1, 2))
    bench.stretch = 1
    assert bench.look(piece(8, 9)) == []
    bench.engine.answer(heard("The ship"))
    bench.now = 9.0
    assert bench.look(piece(8, 9)) == [(piece(8, 9), OPTIONS)]
    assert bench.told == []


def test_of_a_long_stretch_only_what_is_new_is_heard(bench: Bench) -> None:
    first = piece(1, 20)
    assert bench.look(first, piece(20, 25)) == [(first, OPTIONS)]
    bench.engine.answer(heard("One."))
    assert bench.look(first, piece(20, 26)) == [(piece(20, 25), OPTIONS)], "all of it as it was at one time"
    assert bench.told == []
    bench.engine.answer(heard("Two."))
    bench.now = 1.0
    assert bench.look(first, piece(20, 26)) == []
    bench.now = 2.0
    assert bench.look(first, piece(20, 26)) == [(piece(20, 26), OPTIONS)]
    bench.engine.answer(heard("Two. Three."))
    bench.look(first, piece(20, 26))
    assert bench.texts == [("One. Two.", 0), ("One. Two. Three.", 9)]


def test_it_is_told_in_the_language_of_what_came_before(bench: Bench) -> None:
    bench.before = {piece(0, 20): heard("Прежде.", probability=0.99)}
    bench.look(piece(30, 32))
    bench.engine.answer(heard("Dzień", "pl", 0.6))
    assert bench.look(piece(30, 32)) == [(piece(30, 32), TOLD)]
    assert bench.told == []
    bench.engine.answer(heard("День"))
    bench.look(piece(30, 32))
    assert bench.texts == [("День", 0)]


def test_strong_evidence_for_another_language_is_believed(bench: Bench) -> None:
    bench.before = {piece(0, 20): heard("Прежде.", probability=0.99)}
    bench.look(piece(30, 50))
    bench.engine.answer(heard("Dzień dobry", "pl", 0.99))
    assert bench.look(piece(30, 50)) == []
    assert bench.texts == [("Dzień dobry", 0)]


def test_a_language_that_was_asked_for_is_that_of_all() -> None:
    bench = Bench(TOLD)
    bench.before = {piece(0, 20): heard("Прежде.")}
    bench.look(piece(30, 32))
    bench.engine.answer(heard("Dzień", "pl", 0.99))
    assert bench.look(piece(30, 32)) == []
    assert bench.texts == [("Dzień", 0)]


def test_what_was_dropped_for_other_work_is_heard_later(bench: Bench) -> None:
    bench.engine.busy = True
    assert bench.look(piece(1, 2)) == []
    bench.engine.busy = False
    assert len(bench.look(piece(1, 2))) == 1
    bench.engine.answer(CanceledError("There is other work."))
    assert bench.look(piece(1, 2)) == [(piece(1, 2), OPTIONS)]


def test_a_stretch_that_cannot_be_heard_is_left_to_its_piece(bench: Bench) -> None:
    bench.look(piece(1, 2))
    bench.engine.answer(OutOfMemoryError("The device is full."))
    assert bench.look(piece(1, 2)) == bench.look(piece(1, 9)) == []
    assert bench.told == []


def test_a_piece_that_was_heard_or_is_being_heard_is_not_heard_twice(bench: Bench) -> None:
    bench.look(piece(1, 2))
    assert bench.unfinished.adopt(piece(1, 3), OPTIONS) is None
    assert bench.unfinished.adopt(piece(1, 2), TOLD) is None
    assert bench.unfinished.adopt(piece(1, 2), OPTIONS) is bench.engine.future
    assert bench.engine.claimed == [bench.engine.future]
    assert bench.unfinished.adopt(piece(1, 2), OPTIONS) is None
    for outcome in (heard("The ship"), CanceledError("There is other work.")):
        bench.stretch += 1
        bench.now += 9
        bench.look(piece(4, 5))
        bench.engine.answer(outcome)
        found = bench.unfinished.adopt(piece(4, 5), OPTIONS)
        assert found is (bench.engine.future if isinstance(outcome, Transcript) else None)
