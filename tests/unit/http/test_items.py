"""What the client of a dictation is told of its text, event by event."""

from __future__ import annotations

from typing import Any

from asrq_jobs.errors import AudioUnreadableError
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_worker.http.items import Items, TurnItems, WholeItem


def partial(start: float, text: str) -> Event:
    return Event(type="partial", at=0, start=start, end=start + 1, text=text, stable=1)


def chunk(start: float, text: str, *, until: float | None) -> Event:
    return Event(type="chunk", at=0, start=start, end=start + 1.5, text=text, until=until)


def told(items: Items, *events: Event) -> list[tuple[str, str, Any]]:
    """Return of each event of the socket the last part of its type, its item, and what it tells."""
    names = ("audio_start_ms", "audio_end_ms", "previous_item_id", "delta", "text", "transcript")
    found: list[tuple[str, str, Any]] = []
    for event in events:
        for each in items.after(event):
            what = next((each[name] for name in names if name in each), None)
            found.append((each["type"].rpartition(".")[2], each.get("item_id") or each["item"]["id"], what))
    return found


def test_each_stretch_is_an_item() -> None:
    turns = TurnItems("job", "before")
    first = told(turns, partial(2, "One"), partial(2, "One two"), chunk(2, "One two.", until=3.5))
    assert first == [
        ("speech_started", "job-1", 2000), ("partial", "job-1", "One"), ("partial", "job-1", "One two"),
        ("speech_stopped", "job-1", 3500), ("committed", "job-1", "before"), ("added", "job-1", "before"),
        ("delta", "job-1", "One two."), ("completed", "job-1", "One two."),
    ]  # fmt: skip
    kinds = ["speech_started", "speech_stopped", "committed", "added", "delta", "completed"]
    assert [kind for kind, *_ in told(turns, chunk(8, "Three.", until=9.5))] == kinds
    assert told(turns, chunk(2, "Один.", until=9.5)) == [], "what was told stays"
    assert list(turns.end(Result(id="job", status="completed", text="One two. Three."))) == []
    assert turns.failed(AudioUnreadableError("It is noise."))["item_id"] == "job-3"


def test_turns_come_in_the_order_in_which_they_were_said() -> None:
    turns = TurnItems("job", None)
    assert told(turns, chunk(8, "Two.", until=2)) == []
    both = told(turns, chunk(2, "One.", until=9.5))
    assert [text for kind, _, text in both if kind == "completed"] == ["One.", "Two."]
    assert told(turns, chunk(12, "Three.", until=None)) == [], "a worker of an older version does not say"
    ended = list(turns.end(Result(id="job", status="completed", text="One. Two. Three.")))
    assert ended[-1]["transcript"] == "Three."
    assert ended[-1]["usage"] == {"type": "duration", "seconds": 1.5}


def test_noise_is_no_turn_but_one_that_has_begun_ends() -> None:
    turns = TurnItems("job", None)
    assert told(turns, chunk(0, "", until=1.5)) == []
    assert [kind for kind, *_ in told(turns, partial(4, "Hm"), chunk(4, "", until=5.5))] == [
        "speech_started", "partial", "speech_stopped", "committed", "added", "completed",
    ]  # fmt: skip


def test_a_recording_is_one_item() -> None:
    whole = WholeItem("job")
    found = told(whole, partial(0, "One"), chunk(0, "One.", until=1.5), chunk(4, "Two.", until=5.5))
    assert found == [("partial", "job", "One"), ("delta", "job", "One."), ("delta", "job", " Two.")]
    ended = list(whole.end(Result(id="job", status="completed", text="One. Two. Three.", duration=7.0)))
    assert [(each["item_id"], each.get("delta", each.get("transcript"))) for each in ended] == [
        ("job", " Three."), ("job", "One. Two. Three."),
    ]  # fmt: skip
    [nothing] = WholeItem("job").end(Result(id="job", status="completed", text=None, duration=None))
    assert (nothing["transcript"], nothing["usage"]["seconds"]) == ("", 0.0)
