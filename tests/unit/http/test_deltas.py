"""Text that grows at its end, whatever order its chunks are done in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asrq_jobs import atoms
from asrq_jobs.events import Event
from asrq_worker.http.deltas import Deltas


def chunk(start: float, text: str, *, until: float | None) -> Event:
    return Event(type="chunk", at=0, start=start, end=start + 1, text=text, until=until)


@given(st.permutations(range(6)), st.lists(st.sampled_from(["One.", "", "二。", " two "]), min_size=6, max_size=6))
def test_the_parts_are_the_whole_in_any_order(order: list[int], texts: list[str]) -> None:
    deltas, done, parts = Deltas(), set[int](), []
    for number in order:
        done.add(number)
        until = min(set(range(6)) - done, default=6)
        parts.append(deltas.after(chunk(number, texts[number], until=until)))
        assert deltas.text == atoms.joined(texts[:until]), "all that is certain has been told, and nothing else"
    assert "".join(parts) == atoms.joined(texts)
    assert deltas.rest(atoms.joined(texts)) == ""


def test_what_was_told_stays() -> None:
    deltas = Deltas()
    assert deltas.after(chunk(0, "One.", until=2)) == "One."
    assert deltas.after(chunk(0, "Eins.", until=2)) == ""
    assert deltas.after(chunk(2, "Two.", until=4)) == " Two."
    assert deltas.rest("Eins. Two.") == "", "it is another text"


def test_a_chunk_that_is_heard_again_before_it_was_told_is_told_as_it_is_now() -> None:
    deltas = Deltas()
    assert deltas.after(chunk(2, "Zwei.", until=0)) == ""
    assert deltas.after(chunk(2, "Two.", until=0)) == ""
    assert deltas.after(chunk(0, "One.", until=4)) == "One. Two."


def test_what_a_backend_heard_that_is_given_up_is_not_told() -> None:
    deltas = Deltas()
    assert deltas.after(chunk(3, "Three.", until=0)) == ""
    assert deltas.after(Event(type="progress", at=0, fallback_from="qwen")) == ""
    assert deltas.after(chunk(0, "One. Two. Three.", until=4)) == "One. Two. Three."


def test_chunks_of_older_workers_come_with_the_end() -> None:
    deltas = Deltas()
    assert deltas.after(chunk(0, "One.", until=None)) == ""
    assert deltas.rest("One.") == "One."


def test_other_events_say_nothing() -> None:
    assert Deltas().after(Event(type="partial", at=0, start=0, end=1, text="On")) == ""
