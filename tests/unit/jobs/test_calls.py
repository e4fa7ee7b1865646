"""Following a job as decisions: what is asked of Redis, and when the patience is over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from asrq_jobs import calls
from asrq_jobs.errors import (
    AsrqError,
    CanceledError,
    JobNotFoundError,
    QueueAuthError,
    QueueError,
    QueueUnreachableError,
    WaitTimeoutError,
)
from asrq_jobs.events import Entry
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.states import Status, without_result
from asrq_jobs.steps import Done, Pause, Together, advance

RESULT = Result(id="job", status="completed", text="done")
AWAY = QueueUnreachableError("away")


def stream(*entries: tuple[str, str]) -> list[Any]:
    """An answer to XREAD: entries as (id, type)."""
    fields = [(entry.encode(), {b"event": json.dumps({"type": kind, "at": 0}).encode()}) for entry, kind in entries]
    return [(b"asrq:events:job", fields)]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def played(answers: Sequence[Any], *, timeout_s: float | None = None, retry_s: float = 30.0) -> list[Any]:
    """Follow a job through the answers, each of them half a second later; return the steps, commands by their words."""
    clock = Clock()
    settings = Settings(redis_retry_s=retry_s)
    call = calls.follow("job", settings, timeout_s=timeout_s, now=clock)
    left, steps = list(answers), []
    step = advance(call)
    while not isinstance(step, Done):
        steps.append(step)
        if isinstance(step, tuple | Together):
            clock.now += 0.5
            step = advance(call, left.pop(0))
        else:
            clock.now += step.seconds if isinstance(step, Pause) else 0
            step = advance(call)
    assert left == []
    return [*steps, step.value]


def commands(steps: list[Any]) -> list[str]:
    """The commands by name, those of one round trip joined."""
    asked = [step for step in steps if isinstance(step, tuple | Together)]
    return ["+".join(each[0] for each in (step.each if isinstance(step, Together) else [step])) for step in asked]


def test_events_then_the_result() -> None:
    """The end takes no round trip of its own."""
    ended = [stream(("2-0", "started"), ("3-0", "completed")), RESULT.to_json()]
    steps = played([[stream(("1-0", "queued")), None], ended])
    assert commands(steps) == ["XREAD+GET", "XREAD+GET"]
    assert [(step.id, step.event.type) for step in steps if isinstance(step, Entry)] == [
        ("1-0", "queued"),
        ("2-0", "started"),
        ("3-0", "completed"),
    ]
    assert steps[2].each[0][-1] == "1-0"
    assert steps[-1] == RESULT


def test_a_terminal_event_without_a_result_is_not_the_end() -> None:
    steps = played([[stream(("1-0", "failed")), None], [stream(("2-0", "completed")), RESULT.to_json()]])
    assert commands(steps) == ["XREAD+GET", "XREAD+GET"]


def test_silence_asks_whether_the_job_is_there() -> None:
    nothing = [None, None]
    steps = played([nothing, [b"started", b"host"], None, [{}, None], [b"finished", b"host"], RESULT.to_json()])
    assert commands(steps) == ["XREAD+GET", "HMGET", "GET"] * 2
    assert steps[-1] == RESULT  # it ended after the silence
    with pytest.raises(JobNotFoundError):
        played([nothing, [None, None], None])


@pytest.mark.parametrize(
    ("status", "held", "error"),
    [
        (None, False, JobNotFoundError),
        ("queued", False, None),
        ("processing", True, None),
        ("canceled", False, CanceledError),
        ("canceled", True, None),  # in name only: its worker goes on
        ("completed", True, JobNotFoundError),
        ("failed", True, JobNotFoundError),
    ],
)
def test_a_job_without_a_result(status: Status | None, held: bool, error: type[AsrqError] | None) -> None:
    found = without_result("job", status, held=held)
    assert (type(found) if found else None) is error


def test_an_outage_goes_on_after_the_last_event_with_growing_pauses() -> None:
    ended = [stream(("2-0", "completed")), RESULT.to_json()]
    steps = played([[stream(("1-0", "queued")), None], AWAY, AWAY, [AWAY, None], ended])
    reads = [step.each[0] for step in steps if isinstance(step, Together)]
    assert [read[-1] for read in reads] == ["0", "1-0", "1-0", "1-0", "1-0"]
    pauses = [step.seconds for step in steps if isinstance(step, Pause)]
    assert pauses == [0.1, 0.2, 0.4]


@pytest.mark.parametrize(
    ("answers", "options", "error"),
    [
        ([AWAY] * 4, {"retry_s": 2.0}, QueueUnreachableError),
        ([AWAY] * 2, {"timeout_s": 1.0}, QueueUnreachableError),  # the truth, not wait_timeout
        ([AWAY], {"retry_s": 0.0}, QueueUnreachableError),
        ([QueueAuthError("no")], {}, QueueAuthError),
        ([[stream(("1-0", "queued")), None]] * 2, {"timeout_s": 1.0}, WaitTimeoutError),
    ],
)
def test_the_end_of_patience(answers: list[Any], options: dict[str, float], error: type[QueueError]) -> None:
    with pytest.raises(error):
        played(answers, **options)


def test_a_read_never_blocks_as_long_as_the_socket_waits() -> None:
    step = advance(calls.follow("job", Settings(redis_timeout_s=1.0)))
    assert isinstance(step, Together)
    assert step.each[0][4] == 500


def fetched(*answers: Any) -> list[Any]:
    """Fetch the result of a job that keeps nothing, with these answers to what follows; return the steps."""
    kept = RESULT.model_copy(update={"keep": "nothing"})
    call = calls.fetch("job", Settings(redis_retry_s=0.0))
    left, steps = [kept.to_json(), *answers], []
    step = advance(call)
    while not isinstance(step, Done):
        steps.append(step)
        step = advance(call, left.pop(0))
    assert (step.value, left) == (kept, [])
    return steps


def test_a_job_that_keeps_nothing_is_erased_by_the_one_who_has_its_result() -> None:
    *_, erased = fetched(b"asrq-interactive", b"erased")
    assert (erased.name, erased.keys[1], erased.args) == ("erase", "rq:queue:asrq-interactive", ["job"])
    fetched(b"asrq-batch", b"missing")  # another one was as quick


def test_the_text_is_not_lost_with_the_answer_that_it_is_erased() -> None:
    fetched(AWAY)
    fetched(b"asrq-batch", AWAY)
    with pytest.raises(QueueAuthError):
        fetched(QueueAuthError("no right to erase"))
