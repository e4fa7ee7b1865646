"""What goes into a batch: chunks of one lane and kind, within the limits of the engine; suspects alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asrq_worker.backends.base import ChunkOptions
from asrq_worker.engine.batching import AHEAD, BatchLimits, admitted, next_batch
from asrq_worker.engine.turns import LANE_RATIO, Turns, WaitingChunk

WORDS = ChunkOptions(word_timestamps=True)


def chunk(number: int, flow: str = "a", lane: str = "batch", seconds: float = 5.0, **more: Any) -> WaitingChunk:
    return WaitingChunk(number, flow, lane, seconds, more.pop("options", ChunkOptions()), **more)


def joined(waiting: Iterable[WaitingChunk]) -> Turns:
    turns = Turns()
    for chunk in waiting:
        turns.join(chunk.flow, chunk.lane)
    return turns


def numbers(waiting: list[WaitingChunk], running: list[WaitingChunk] | None = None, **limits: Any) -> list[int]:
    return [chosen.number for chosen in next_batch(waiting, running or [], joined(waiting), BatchLimits(**limits))]


def test_nothing_waits_nothing_runs() -> None:
    assert numbers([]) == []


def test_no_more_batches_than_the_engine_takes() -> None:
    assert numbers([chunk(3)], [chunk(1), chunk(2)], parallel=2) == []
    assert numbers([chunk(3)], [chunk(1)], parallel=2) == [3]


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
    assert numbers(waiting, max_batch=8) == [7, 1, 6, 4], "what is short finishes first"
    assert numbers(waiting, max_batch=8, similar=True) == [7, 1], "9 s beside 3.5 s would be padding for the most part"


def test_a_batch_has_no_more_audio_than_fits_into_its_time() -> None:
    waiting = [chunk(n, f"job{n}", seconds=seconds) for n, seconds in enumerate((6, 6, 20, 6, 2))]
    assert numbers(waiting, max_batch=8, audio_s=lambda _kind: 15.0) == [4, 0, 1]
    assert numbers(waiting, max_batch=8, audio_s=lambda _kind: 1.5) == [4], "one that takes longer goes alone"
    assert numbers([chunk(1, seconds=28), chunk(2, seconds=1)], max_batch=8, audio_s=lambda _kind: 20.0) == [1]


def test_the_time_of_a_batch_is_that_of_its_kind() -> None:
    waiting = [chunk(1, "a", options=WORDS), chunk(2, "b", options=WORDS), chunk(3, "c"), chunk(4, "d")]
    room = {("batch", "transcribe", True): 5.0, ("batch", "transcribe", False): 10.0}
    assert numbers(waiting, max_batch=8, audio_s=room.__getitem__) == [1]
    assert numbers(waiting[2:], max_batch=8, audio_s=room.__getitem__) == [3, 4]


def test_what_waits_is_shared_among_the_batches_that_may_run() -> None:
    waiting = [chunk(n, f"job{n}") for n in range(5)]
    assert numbers(waiting, max_batch=8, parallel=2) == [0, 1, 2]
    assert numbers(waiting, [chunk(9)], max_batch=8, parallel=2) == [0, 1, 2, 3, 4], "nobody else may take the rest"
    assert numbers(waiting[:1], max_batch=8, parallel=2) == [0]


def test_a_batch_is_filled_with_what_is_nearest_in_length_among_the_next_in_turn() -> None:
    lengths = (1.0, 9.0, 9.0, 9.0, 2.0, 9.0, 9.0, 9.0, 9.0, 1.0)
    waiting = [chunk(n, f"job{n}", seconds=seconds) for n, seconds in enumerate(lengths)]
    assert numbers(waiting, max_batch=2) == [0, 9]
    for equal, partner in ((2 * AHEAD, 2 * AHEAD), (2 * AHEAD + 1, 1)):
        of_one_job = [chunk(n, seconds=1.0 if n in {0, equal} else 2.0) for n in range(2 * AHEAD + 2)]
        assert numbers(of_one_job, max_batch=2) == [0, partner], "nothing is passed over for what is far behind"


def test_no_batch_holds_dictation_and_files() -> None:
    """Dictation would wait for the audio of files, or they would go with it past all others."""
    files, dictation = [chunk(1, "f"), chunk(2, "g")], [chunk(3, "d", "interactive"), chunk(4, "e", "interactive")]
    waiting = [*files, *dictation]
    assert numbers(waiting, max_batch=8) == [3, 4]
    turns = joined(waiting)
    turns.give([chunk(0, "d", "interactive", seconds=LANE_RATIO * 5)], waiting)
    assert next_batch(waiting, [], turns, BatchLimits(max_batch=8)) == files


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
    """Whatever comes while the last batch before it runs; else it would wait forever for nothing to run."""
    suspect, turns = chunk(1, "file", suspect=True), Turns()
    waiting = [suspect, *(chunk(n, f"d{n}", "interactive") for n in range(2, 20))]
    running = chunk(0, "d0", "interactive")
    for each in (running, *waiting):
        turns.join(each.flow, each.lane)
    turns.give([running], waiting)
    for _ in range(3):
        [chosen] = next_batch(waiting, [running], turns, BatchLimits(parallel=2))
        assert chosen.lane == "interactive"
        waiting.remove(chosen)
        turns.give([chosen], waiting)
    for number in range(20, 30):
        waiting.append(chunk(number, f"d{number}", "interactive"))
        turns.join(f"d{number}", "interactive")
        assert next_batch(waiting, [running], turns, BatchLimits(parallel=2)) == []
    assert next_batch(waiting, [], turns, BatchLimits(parallel=2)) == [suspect]


def admitted_numbers(waiting: list[WaitingChunk], running: str, limits: BatchLimits) -> list[int]:
    """What may go while batches run: `b` for one of files, `i` for one of dictation."""
    lanes = {"b": "batch", "i": "interactive"}
    may_go, within = admitted(waiting, [chunk(90, "r", lanes[kind]) for kind in running], limits)
    at_work = [chunk(90, "r", lanes[kind]) for kind in running]
    return [each.number for each in next_batch(may_go, at_work, joined(waiting), within)]


def test_where_files_have_taken_a_place_dictation_gets_a_spare_one() -> None:
    limits = BatchLimits(parallel=2, spare=1)
    files, both = [chunk(1)], [chunk(1), chunk(2, "d", "interactive")]
    assert admitted_numbers(both, "b", limits) == [2]
    assert admitted_numbers(files, "b", limits) == [1]
    assert admitted_numbers(both, "bb", limits) == admitted_numbers(both, "bi", limits) == [2]
    assert admitted_numbers(files, "bb", limits) == admitted_numbers(files, "bi", limits) == []
    assert admitted_numbers(both, "bbi", limits) == [], "no more than that"
    assert admitted_numbers(both, "ii", limits) == [], "dictation does not take the cores of dictation"
    assert admitted_numbers(both, "bb", BatchLimits(parallel=2)) == []


chunks = st.lists(
    st.builds(
        WaitingChunk,
        number=st.integers(1, 10_000),
        flow=st.sampled_from("abcde"),
        lane=st.just("batch"),
        seconds=st.floats(0, 30),
        options=st.builds(ChunkOptions, word_timestamps=st.booleans()),
        suspect=st.booleans(),
        most=st.integers(1, 8),
    ),
    max_size=12,
    unique_by=lambda chunk: chunk.number,
)


@given(chunks, chunks, st.integers(1, 8), st.integers(1, 4), st.floats(0.1, 200))
def test_what_always_holds(
    waiting: list[WaitingChunk], running: list[WaitingChunk], max_batch: int, parallel: int, audio_s: float
) -> None:
    batch = next_batch(
        waiting, running, joined(waiting), BatchLimits(max_batch, parallel, audio_s=lambda _kind: audio_s)
    )
    assert len(batch) <= max_batch
    assert len(set(batch)) == len(batch)
    assert set(batch) <= set(waiting)
    if batch:
        assert len(batch) <= min(chunk.most for chunk in batch)
        assert len(batch) == 1 or sum(chunk.seconds for chunk in batch) <= audio_s
        assert len(running) < parallel
        assert not any(chunk.suspect for chunk in running)
        assert len({chunk.options for chunk in batch}) == 1
        if any(chunk.suspect for chunk in batch):
            assert len(batch) == 1
            assert not running
    elif waiting:
        assert running
