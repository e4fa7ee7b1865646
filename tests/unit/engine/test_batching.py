"""Which chunks go next: lanes by priority, jobs in turn, chunks in order, suspects alone."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from asrq_worker.backends.base import ChunkOptions
from asrq_worker.engine.batching import Waiting, next_batch

WORDS = ChunkOptions(word_timestamps=True)


def chunk(number: int, job_id: str = "a", lane: str = "batch", seconds: float = 5.0, **more: object) -> Waiting:
    return Waiting(number, job_id, lane, seconds, more.pop("options", ChunkOptions()), **more)


def numbers(waiting: list[Waiting], running: list[Waiting] | None = None, **limits: object) -> list[int]:
    given = {"served": {}, "max_batch": 1, "parallel": 1, **limits}
    return [chosen.number for chosen in next_batch(waiting, running or [], **given)]


def served_in_order(waiting: list[Waiting]) -> list[int]:
    """Run everything one by one and return the order."""
    order: list[int] = []
    served: dict[str, int] = {}
    left = list(waiting)
    while left:
        [chosen] = next_batch(left, [], served, max_batch=1, parallel=1)
        left.remove(chosen)
        order.append(chosen.number)
        served[chosen.job_id] = len(order)
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


def test_a_new_job_goes_before_one_that_was_served() -> None:
    assert numbers([chunk(5, "long"), chunk(9, "new")], served={"long": 4}) == [9]


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
    batch = next_batch(waiting, running, {}, max_batch=max_batch, parallel=parallel)
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
