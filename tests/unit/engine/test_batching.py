"""Which chunks go next: lanes by priority, jobs in turn, chunks in order, suspects alone, and everybody in the end."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from asrq_jobs.request import LANES
from asrq_worker.backends.base import ChunkOptions
from asrq_worker.engine.batching import HEAD_START, MOST_IN_A_ROW, Turns, Waiting, next_batch

WORDS = ChunkOptions(word_timestamps=True)


def chunk(number: int, job_id: str = "a", lane: str = "batch", seconds: float = 5.0, **more: object) -> Waiting:
    return Waiting(number, job_id, lane, seconds, more.pop("options", ChunkOptions()), **more)


def joined(waiting: Iterable[Waiting], turns: Turns | None = None) -> Turns:
    """Return turns that know the jobs of what waits; none was served yet, but by the turns given."""
    turns = turns or Turns()
    for chunk in waiting:
        turns.join(chunk.job_id)
    return turns


def numbers(waiting: list[Waiting], running: list[Waiting] | None = None, **limits: int) -> list[int]:
    given = {"max_batch": 1, "parallel": 1, **limits}
    return [chosen.number for chosen in next_batch(waiting, running or [], joined(waiting), **given)]


def served_in_order(waiting: list[Waiting], turns: Turns | None = None) -> list[int]:
    """Run everything one by one and return the order."""
    order: list[int] = []
    turns = joined(waiting, turns)
    left = list(waiting)
    while left:
        [chosen] = next_batch(left, [], turns, max_batch=1, parallel=1)
        left.remove(chosen)
        turns.give([chosen], left)
        order.append(chosen.number)
    return order


def test_nothing_waits_nothing_runs() -> None:
    assert numbers([]) == []


def test_no_more_batches_than_the_engine_takes() -> None:
    assert numbers([chunk(3)], [chunk(1), chunk(2)], parallel=2) == []
    assert numbers([chunk(3)], [chunk(1)], parallel=2) == [3]


def test_interactive_first() -> None:
    assert numbers([chunk(1), chunk(2, "b", "interactive")]) == [2]


def test_jobs_take_turns_and_chunks_keep_their_order() -> None:
    long_file = [chunk(n, "long") for n in range(1, 6)]
    clips = [chunk(6, "clip"), chunk(7, "other"), chunk(8, "other")]
    assert served_in_order([*long_file, *clips]) == [1, 6, 7, 2, 8, 3, 4, 5]


def test_a_new_job_goes_before_those_that_were_served_lately() -> None:
    turns = Turns()
    assert served_in_order([chunk(1, "long")], turns) == [1]
    assert served_in_order([chunk(2, "long"), chunk(9, "new")], turns) == [9, 2]


def test_a_job_that_was_overtaken_for_long_is_not_overtaken_by_newer_ones() -> None:
    turns = joined([chunk(1, "long")])
    assert served_in_order([chunk(1, "long")], turns) == [1]
    left, order = [chunk(2, "long")], []
    for number in range(3, 30):
        left.append(chunk(number, f"clip{number}"))
        [chosen] = next_batch(left, [], joined(left, turns), max_batch=1, parallel=1)
        left.remove(chosen)
        turns.give([chosen], left)
        order.append(chosen.number)
    assert order.index(2) == HEAD_START
    assert order[:HEAD_START] == list(range(3, 3 + HEAD_START))


def test_a_job_that_is_gone_comes_back_as_a_new_one() -> None:
    turns = Turns()
    served_in_order([chunk(1, "gone"), chunk(2, "here")], turns)
    turns.keep({"here"})
    assert served_in_order([chunk(3, "here"), chunk(4, "gone")], turns) == [4, 3]


def test_of_five_places_one_goes_to_a_file_however_much_is_dictated() -> None:
    files = [chunk(n, f"file{n % 2}") for n in range(100, 104)]
    dictated = [chunk(n, f"dictation{n}", "interactive") for n in range(1, 21)]
    one_in_five = [*range(1, 5), 100, *range(5, 9), 101, *range(9, 13), 102, *range(13, 17), 103, *range(17, 21)]
    assert served_in_order([*files, *dictated]) == one_in_five


def test_dictation_that_leaves_the_engine_to_files_now_and_then_never_waits_for_one() -> None:
    turns, files, number = Turns(), [chunk(n, "file") for n in range(1, 20)], itertools.count(100)
    for _ in range(10):
        burst = [chunk(next(number), "dictation", "interactive") for _ in range(MOST_IN_A_ROW)]
        file, *files = files
        assert served_in_order([*burst, file], turns) == [*(each.number for each in burst), file.number]


def test_a_batch_that_a_file_leads_is_filled_with_dictation_first() -> None:
    turns = Turns()
    waiting = [chunk(1, "file"), chunk(2, "file"), *(chunk(n, f"d{n}", "interactive") for n in range(3, 20))]
    joined(waiting, turns)
    for _ in range(MOST_IN_A_ROW):
        turns.give([waiting.pop()], waiting)
    assert [chosen.number for chosen in next_batch(waiting, [], turns, max_batch=3, parallel=1)] == [1, 3, 4]


def test_a_batch_mixes_jobs_before_it_takes_two_of_one() -> None:
    waiting = [chunk(1, "a"), chunk(2, "a"), chunk(3, "b"), chunk(4, "b"), chunk(5, "c")]
    assert numbers(waiting, max_batch=4) == [1, 3, 5, 2]


def test_a_batch_holds_only_what_suits_its_first() -> None:
    waiting = [
        chunk(1, "a", seconds=5),
        chunk(2, "b", options=WORDS),
        chunk(3, "c", options=ChunkOptions(task="translate")),
        chunk(4, "d", seconds=28),
        chunk(6, "f", seconds=9, options=ChunkOptions(language="ru", prompt="x")),
        chunk(7, "g", seconds=3.5),
    ]
    assert numbers(waiting, max_batch=8) == [1, 6, 7]


def test_an_interactive_batch_is_filled_from_the_other_lane() -> None:
    assert numbers([chunk(1), chunk(2, "b", "interactive")], max_batch=2) == [2, 1]


def test_a_batch_is_no_larger_than_each_of_its_chunks_allows() -> None:
    waiting = [chunk(1, "a", most=3), chunk(2, "b", most=1), chunk(3, "c", most=2), chunk(4, "d"), chunk(5, "e")]
    assert numbers(waiting, max_batch=8) == [1, 3]
    assert numbers(waiting[1:], [chunk(0)], max_batch=8, parallel=2) == [2]
    assert numbers(waiting[3:], max_batch=8) == [4, 5]


def test_a_suspect_waits_until_nothing_runs_and_then_nothing_joins_it() -> None:
    suspect = chunk(1, suspect=True)
    assert numbers([suspect, chunk(2)], [chunk(0)], parallel=2) == []
    assert numbers([suspect, chunk(2)], max_batch=4, parallel=2) == [1]
    assert numbers([chunk(2)], [suspect], parallel=2) == []


def test_suspects_go_before_their_lane_but_not_before_a_better_one() -> None:
    assert numbers([chunk(1, "a"), chunk(7, "b", suspect=True)]) == [7]
    assert numbers([chunk(7, "b", suspect=True), chunk(9, "c", "interactive")]) == [9]


def test_nothing_overtakes_a_suspect_whose_turn_has_come() -> None:
    """Whatever comes while the last batch before it runs; else it would wait for ever for nothing to run."""
    suspect, turns = chunk(1, "file", suspect=True), Turns()
    dictated = [chunk(n, f"d{n}", "interactive") for n in range(2, 20)]
    waiting = [suspect, *dictated]
    joined(waiting, turns)
    for _ in range(MOST_IN_A_ROW):
        [chosen] = next_batch(waiting, [dictated[-1]], turns, max_batch=1, parallel=2)
        assert chosen.lane == "interactive"
        waiting.remove(chosen)
        turns.give([chosen], waiting)
    for number in range(20, 30):
        waiting.append(chunk(number, f"d{number}", "interactive"))
        assert next_batch(waiting, [dictated[-1]], joined(waiting, turns), max_batch=1, parallel=2) == []
    assert next_batch(waiting, [], turns, max_batch=1, parallel=2) == [suspect]


chunks = st.lists(
    st.builds(
        Waiting,
        number=st.integers(1, 10_000),
        job_id=st.sampled_from("abcde"),
        lane=st.sampled_from(["interactive", "batch"]),
        seconds=st.floats(0.1, 30),
        options=st.builds(ChunkOptions, word_timestamps=st.booleans()),
        suspect=st.booleans(),
        most=st.integers(1, 8),
    ),
    max_size=12,
    unique_by=lambda chunk: chunk.number,
)


@given(chunks, chunks, st.integers(1, 8), st.integers(1, 4))
def test_what_always_holds(waiting: list[Waiting], running: list[Waiting], max_batch: int, parallel: int) -> None:
    batch = next_batch(waiting, running, joined(waiting), max_batch=max_batch, parallel=parallel)
    assert len(batch) <= max_batch
    assert len(set(batch)) == len(batch)
    assert set(batch) <= set(waiting)
    if batch:
        assert len(batch) <= min(chunk.most for chunk in batch)
        assert len(running) < parallel
        assert not any(chunk.suspect for chunk in running)
        lanes = [chunk.lane for chunk in waiting]
        assert batch[0].lane == ("interactive" if "interactive" in lanes else "batch")
        assert len({chunk.options.word_timestamps for chunk in batch}) == 1
        if any(chunk.suspect for chunk in batch):
            assert len(batch) == 1
            assert not running
    elif waiting:
        assert running


@given(chunks)
def test_everything_is_served_in_the_end_each_job_in_order(waiting: list[Waiting]) -> None:
    plain = [replace(chunk, suspect=False, lane="batch") for chunk in waiting]
    order = served_in_order(plain)
    assert sorted(order) == sorted(chunk.number for chunk in plain)
    for job_id in {chunk.job_id for chunk in plain}:
        own = [number for number in order if number in {c.number for c in plain if c.job_id == job_id}]
        assert own == sorted(own)


class Host:
    """Slots that are never empty, the queue of a scheduler, and an engine that works on batches and sometimes dies."""

    def __init__(self, rng: random.Random, *, slots: int, max_batch: int, parallel: int) -> None:
        self.rng = rng
        self.slots, self.max_batch, self.parallel = slots, max_batch, parallel
        self.turns = Turns()
        self.waiting: dict[int, Waiting] = {}
        self.running: list[list[Waiting]] = []
        self.since: dict[str, int] = {}
        """When a job came or got its last place, in batches handed out."""
        self.led: list[tuple[str, bool]] = []
        """The lane of the first chunk of each batch, and whether the other lane went on waiting."""
        self.suspects = 0
        self.number = itertools.count(1)
        for lane in LANES * slots:
            self.come(lane)

    def come(self, lane: str) -> None:
        job_id = f"job{next(self.number)}"
        seconds, words = self.rng.choice([3.0, 28.0]), self.rng.random() < 0.2
        for _ in range(self.rng.choice([1, 1, 1, 2, 6])):
            self.queue(Waiting(next(self.number), job_id, lane, seconds, ChunkOptions(word_timestamps=words)))

    def queue(self, waiting: Waiting) -> None:
        self.turns.join(waiting.job_id)
        self.waiting[waiting.number] = waiting
        self.since[waiting.job_id] = len(self.led)

    def hand_out(self) -> bool:
        """Return whether there was something to hand out; nobody may have waited for long."""
        firsts = [batch[0] for batch in self.running]
        waiting = self.waiting.values()
        batch = next_batch(waiting, firsts, self.turns, max_batch=self.max_batch, parallel=self.parallel)
        if not batch:
            assert self.running, "an idle engine while chunks wait"
            return False
        for chosen in batch:
            del self.waiting[chosen.number]
            self.since[chosen.job_id] = len(self.led)
        self.turns.give(batch, waiting)
        self.led.append((batch[0].lane, any(chunk.lane != batch[0].lane for chunk in waiting)))
        self.running.append(batch)
        newer = HEAD_START + self.parallel * self.max_batch  # jobs that may come while the others have a head start
        bound = (MOST_IN_A_ROW + 1) * (self.slots + newer + self.suspects)
        assert all(len(self.led) - self.since[chunk.job_id] <= bound for chunk in waiting)
        return True

    def finish(self) -> None:
        """End a batch; the slots of jobs that are done with it take others."""
        done = self.running.pop(self.rng.randrange(len(self.running)))
        here = {chunk.job_id for chunk in (*self.waiting.values(), *itertools.chain(*self.running))}
        self.turns.keep(here)
        for lane in {chunk.job_id: chunk.lane for chunk in done if chunk.job_id not in here}.values():
            self.come(lane)

    def die(self) -> None:
        lost, self.running = list(itertools.chain(*self.running)), []
        self.suspects += len(lost)
        for chunk in lost:
            self.queue(replace(chunk, suspect=True))


@settings(max_examples=40)
@given(
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sets(st.integers(1, 99), max_size=3),
)
def test_whatever_comes_everybody_is_served_soon_and_dictation_first(
    seed: int, slots: int, max_batch: int, parallel: int, deaths: set[int]
) -> None:
    rng = random.Random(seed)  # noqa: S311  # no secret; one that is drawn would be shrunk for minutes
    host = Host(rng, slots=slots, max_batch=max_batch, parallel=parallel)
    while len(host.led) < 300:
        if len(host.led) in deaths:
            deaths.remove(len(host.led))
            host.die()
        if not host.hand_out() or rng.random() < 0.5:
            host.finish()
    first, other = LANES
    for place in range(MOST_IN_A_ROW, len(host.led)):
        lane, left_the_other = host.led[place]
        if host.led[place - MOST_IN_A_ROW : place] == [(first, True)] * MOST_IN_A_ROW:
            assert lane == other
        else:
            assert lane == first or not left_the_other
