"""What the reaper decides: which ids are stuck, what becomes of a lost execution, which hosts are dead."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Attempt
from asrq_jobs.settings import Settings
from asrq_worker.execution import Execution
from asrq_worker.recovery import gone, lost, stuck

AFTER_S = 15.0
IDS = st.sampled_from("abcde")
ROUNDS = st.lists(st.tuples(st.floats(0.1, 30), st.sets(IDS)), min_size=1, max_size=20)


@given(ROUNDS)
def test_an_id_is_stuck_when_every_look_for_so_long_has_found_it_and_only_then(
    rounds: list[tuple[float, set[str]]],
) -> None:
    now, seen = 0.0, dict[str, float]()
    since: dict[str, float] = {}  # the obvious way to keep the same books
    for pause_s, there in rounds:
        now += pause_s
        since = {job_id: since.get(job_id, now) for job_id in there}
        expected = {job_id for job_id, at in since.items() if now - at >= AFTER_S}
        late, seen = stuck(seen, there, now=now, after_s=AFTER_S)
        assert late == expected
        for job_id in late:  # it has been put back: what is found from now on is another dequeue
            del since[job_id]
        assert seen == since


def test_one_that_was_put_back_and_dequeued_again_at_once_is_not_stuck() -> None:
    late, seen = stuck({"a": 0.0}, {"a"}, now=AFTER_S, after_s=AFTER_S)
    assert late == {"a"}
    late, seen = stuck(seen, {"a"}, now=AFTER_S + 2, after_s=AFTER_S)
    assert late == set()
    assert stuck(seen, {"a"}, now=2 * AFTER_S + 2, after_s=AFTER_S)[0] == {"a"}


@given(
    before=st.integers(0, 8),
    earlier=st.integers(0, 8),
    retries=st.none() | st.integers(0, 5),
    max_attempts=st.integers(1, 5),
)
def test_a_lost_execution_runs_again_or_has_failed_and_its_history_is_whole(
    before: int, earlier: int, retries: int | None, max_attempts: int
) -> None:
    earlier = min(earlier, before)
    attempts = tuple(
        Attempt(number=number, worker=f"w{number}", started_at="2026-01-01T00:00:00.000000Z")
        for number in range(1, before + 2)
    )
    request = Request.build(id="job", audio=PathAudio(path="/a.wav"), retries=retries)
    settings = Settings(max_attempts=max_attempts)
    ended = lost(
        Execution("job", "e", "batch", "w"), request, attempts, settings, earlier=earlier, created_at=None, now=1e9
    )
    limit = max_attempts if retries is None else retries + 1
    left = limit - (len(attempts) - earlier)
    assert ended.verdict == ("front" if left > 0 else "failed")
    assert ended.attempt is not None
    assert ended.attempt.error is not None
    assert (ended.attempt.number, ended.attempt.error.code) == (before + 1, "worker_lost")
    assert ended.attempt.ended_at is not None
    assert ended.event.terminal == (ended.verdict == "failed")
    if ended.verdict == "failed":
        assert ended.result is not None
        assert ended.result.attempts == (*attempts[:-1], ended.attempt)
        assert (ended.result.status, ended.result.error) == ("failed", ended.attempt.error)
        assert ended.ttl_s == settings.failure_ttl_s
    else:
        assert ended.result is None


@given(age_s=st.floats(0, 200_000), registered=st.booleans())
def test_a_host_is_dead_when_it_announced_itself_long_ago_and_has_no_slot(age_s: float, registered: bool) -> None:
    now = 1_000_000.0
    hosts = {"box.example.org-1a": json.dumps({"state": "ready", "at": now - age_s})}
    slots = {"box.example.org-1a.whisper.batch.2"} if registered else set()
    assert bool(gone(hosts, slots | {"other.fake.batch.1"}, now=now)) == (
        not registered and now - (now - age_s) > 86_400
    )


@effort(max_examples=40)
@given(st.text())
def test_whatever_a_host_announces_no_decision_fails(text: str) -> None:
    assert gone({"h": text}, {"h.fake.batch.1"}, now=0) == set()
    gone({"h": text}, set(), now=0)
