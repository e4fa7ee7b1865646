"""What the reaper decides: what is wrong and for how long, what becomes of a lost execution, which hosts are dead."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from asrq_jobs.request import LANES, PathAudio, Request
from asrq_jobs.result import Attempt
from asrq_jobs.rq import ENDED
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_worker.queue.execution import Execution
from asrq_worker.reaper.findings import DOUBTFUL, Finding, _gone, confirmed, inspect, lapsed, lost
from asrq_worker.reaper.snapshot import Places, SeenJob, Snapshot

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
        late, seen = confirmed(seen, there, now=now, after_s=AFTER_S)
        assert late == expected
        for job_id in late:  # it has been put back: what is found from now on is another dequeue
            del since[job_id]
        assert seen == since


def test_one_that_was_put_back_and_dequeued_again_at_once_is_not_confirmed() -> None:
    late, seen = confirmed({"a": 0.0}, {"a"}, now=AFTER_S, after_s=AFTER_S)
    assert late == {"a"}
    late, seen = confirmed(seen, {"a"}, now=AFTER_S + 2, after_s=AFTER_S)
    assert late == set()
    assert confirmed(seen, {"a"}, now=2 * AFTER_S + 2, after_s=AFTER_S)[0] == {"a"}


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
        Execution("job", "e", "batch", "w"), request, attempts, settings,
        earlier=earlier, canceled=False, created_at=None, now=1e9,
    )  # fmt: skip
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


def test_a_lost_execution_of_a_job_that_is_to_be_canceled_is_its_last() -> None:
    attempts = (Attempt(number=1, worker="w", started_at=iso(1.0)),)
    request, settings = Request.build(id="job", audio=PathAudio(path="/a.wav"), retries=5), Settings()
    ended = lost(
        Execution("job", "e", "batch", "w"), request, attempts, settings,
        earlier=0, canceled=True, created_at=None, now=1e9,
    )  # fmt: skip
    assert ended.result is not None
    assert ended.attempt is not None
    assert ended.attempt.error is not None
    assert (ended.verdict, ended.event.type, ended.result.status) == ("canceled", "canceled", "canceled")
    assert (ended.attempt.error.code, ended.result.attempts) == ("canceled", (ended.attempt,))
    assert ended.ttl_s == settings.result_ttl_s


@given(age_s=st.floats(0, 200_000), registered=st.booleans())
def test_a_host_is_dead_when_it_announced_itself_long_ago_and_has_no_slot(age_s: float, registered: bool) -> None:
    now = 1_000_000.0
    hosts = {"box.example.org-1a": json.dumps({"state": "ready", "at": now - age_s})}
    slots = {"box.example.org-1a.whisper.batch.2"} if registered else set()
    assert bool(_gone(hosts, slots | {"other.fake.batch.1"}, now=now)) == (
        not registered and now - (now - age_s) > 86_400
    )
    stopped = {name: json.dumps({"state": "stopped", "at": now - age_s}) for name in hosts}
    assert bool(_gone(stopped, slots, now=now)) == (not registered and now - (now - age_s) > 600)


@effort(max_examples=effort().max_examples * 2 // 5)
@given(st.text())
def test_whatever_a_host_announces_no_decision_fails(text: str) -> None:
    assert _gone({"h": text}, {"h.fake.batch.1"}, now=0) == set()
    _gone({"h": text}, set(), now=0)


NOW = 1_000_000.0
BLOB_TTL_S = 1000
STATUSES = st.sampled_from(["", "queued", "scheduled", "started", "deferred", *sorted(ENDED)])
OUR_LANES = st.sampled_from(LANES)
JOBS = st.builds(SeenJob, kept=st.booleans(), traces=st.booleans()) | st.builds(
    SeenJob,
    status=STATUSES,
    lane=st.none() | OUR_LANES,
    enqueued_at=st.sampled_from(["", iso(NOW - 100), iso(NOW - 10)]),
    queue_ttl_s=st.none() | st.just(50),
    blob=st.none() | st.sampled_from("xy"),
    expires=st.booleans(),
    scheduled=st.booleans(),
    kept=st.booleans(),
    traces=st.booleans(),
)
SOME = st.sampled_from("abc")
LISTED = st.lists(SOME, max_size=2, unique=True).map(tuple)
PLACES = st.builds(
    Places,
    LISTED,
    LISTED,
    LISTED,
    st.lists(st.tuples(SOME, st.sampled_from(["e1", "e2"])), max_size=2, unique=True).map(tuple),
    st.dictionaries(st.sampled_from(["qwen", "by hand+"]), LISTED),
)
LEASES = st.builds("{}/{}/{}".format, OUR_LANES, SOME, st.sampled_from(["e1", "e2"])) | st.just("by hand")
SNAPSHOTS = st.builds(
    Snapshot,
    at=st.just(NOW),
    lanes=st.fixed_dictionaries(dict.fromkeys(LANES, PLACES)),
    leases=st.dictionaries(LEASES, st.sampled_from([NOW - 1, NOW, NOW + 1]), max_size=4),
    jobs=st.fixed_dictionaries(dict.fromkeys("abc", JOBS)),
    lost=st.sets(SOME),
    blobs=st.dictionaries(st.sampled_from("xyz"), st.sampled_from([-2, -1, 10, 900])),
    workers=st.just({"old-1": json.dumps({"at": 0}), "old-2": json.dumps({"at": 0})}),
    slots=st.dictionaries(st.just("old-1.fake.batch.1"), st.booleans()),
)
OF_JOBS = {"due", "recovered", "reconciled", "expired"}


def _found(seen: Snapshot) -> list[Finding]:
    return inspect(seen, blob_ttl_s=BLOB_TTL_S)


def _waiting(places: Places) -> set[str]:
    return {job_id for ids in (places.waiting, *places.apart.values()) for job_id in ids}


def _held(seen: Snapshot, *, live_only: bool) -> set[str]:
    return {
        lease.split("/")[1]
        for lease, expiry in seen.leases.items()
        if lease.count("/") == 2 and (expiry > seen.at or not live_only)
    }


@given(SNAPSHOTS)
def test_a_job_whose_lease_is_live_is_left_alone(seen: Snapshot) -> None:
    live = _held(seen, live_only=True)
    assert live.isdisjoint(execution.job_id for execution in lapsed(seen))
    assert live.isdisjoint(found.subject for found in _found(seen) if found.kind in OF_JOBS)
    held = {lease for lease, expiry in seen.leases.items() if expiry > seen.at and lease != "by hand"}
    assert held.isdisjoint(found.subject for found in _found(seen) if found.kind == "forgotten")


@given(SNAPSHOTS)
def test_no_job_is_recovered_requeued_and_failed_in_one_round(seen: Snapshot) -> None:
    acted_upon = Counter(found.subject for found in _found(seen) if found.kind in OF_JOBS)
    acted_upon.update({execution.job_id for execution in lapsed(seen)})
    assert not [job_id for job_id, times in acted_upon.items() if times > 1]
    assert len(_found(seen)) == len(set(_found(seen)))


@given(SNAPSHOTS)
def test_every_job_that_nothing_would_ever_look_at_is_found(seen: Snapshot) -> None:
    acted_upon = {found.subject: found.kind for found in _found(seen) if found.kind in OF_JOBS}
    held = _held(seen, live_only=False)
    passing = {job_id for places in seen.lanes.values() for job_id in (*places.dequeued, *places.due)}
    assert passing - held <= acted_upon.keys()
    waiting = {job_id for places in seen.lanes.values() for job_id in _waiting(places)}
    for job_id in waiting - passing - held:
        assert seen.jobs[job_id].status is not None or acted_upon[job_id] == "reconciled"
    for job_id, job in seen.jobs.items():
        waits = job.lane is not None and job_id in _waiting(seen.lanes[job.lane])
        if job_id in held | passing or job.lane is None:
            continue
        if job.status == "started" or (job.status == "scheduled" and not job.scheduled):
            assert acted_upon[job_id] == "reconciled"
        if job.status == "queued":
            late = job.queue_ttl_s is not None and job.enqueued_at == iso(NOW - 100)
            assert acted_upon.get(job_id) == (
                "expired" if late else "reconciled" if job_id in seen.lost or job.expires else None
            )
        if job.status in ENDED and not waits:
            sound = job.expires and not job.traces and job_id not in seen.lost
            assert acted_upon.get(job_id) == (None if sound else "reconciled")


QWEN_HOST = json.dumps({"at": NOW, "lanes": "batch:1", "serves": [{"backend": "qwen", "model": "m"}]})


@given(SNAPSHOTS, st.booleans())
def test_what_no_registered_worker_can_serve_goes_back_to_its_lane(seen: Snapshot, served: bool) -> None:
    hosts = seen.workers | {"by hand": "{", **({"gpu-1": QWEN_HOST} if served else {})}
    returned = {
        (found.lane, found.subject) for found in _found(replace(seen, workers=hosts)) if found.kind == "returned"
    }
    apart = {(lane, need) for lane, places in seen.lanes.items() for need in places.apart}
    assert returned == apart - ({("batch", "qwen")} if served else set())


@given(SNAPSHOTS)
def test_an_id_is_dropped_from_the_list_on_which_it_was_seen(seen: Snapshot) -> None:
    for found in _found(seen):
        if found.need:
            assert found.subject in seen.lanes[found.lane].apart[found.need]  # type: ignore[index]  # a lane
        elif found.kind == "reconciled":
            assert not any(found.subject in ids for ids in seen.lanes[found.lane].apart.values()) or (
                found.subject in seen.lanes[found.lane].waiting
            )


@given(SNAPSHOTS)
def test_every_execution_that_cannot_commit_is_found(seen: Snapshot) -> None:
    found = {finding.subject for finding in _found(seen) if finding.kind == "forgotten"}
    recovered = {execution.lease for execution in lapsed(seen)}
    live = _held(seen, live_only=True)
    for lease, expiry in seen.leases.items():
        assert (lease in found | recovered) == (expiry <= NOW or lease == "by hand")
        assert lease not in found & recovered
        assert (lease in found) == (lease == "by hand" or (expiry <= NOW and lease.split("/")[1] in live))
    for lane in LANES:
        for job_id, execution_id in seen.lanes[lane].started:
            lease = f"{lane}/{job_id}/{execution_id}"
            through_it = seen.jobs[job_id].status == "started" and job_id not in _held(seen, live_only=False)
            if lease not in seen.leases:
                assert (lease in found) != through_it


@given(SNAPSHOTS)
def test_an_upload_is_kept_while_a_job_may_need_it_and_not_longer(seen: Snapshot) -> None:
    renewed = {found.subject for found in _found(seen) if found.kind == "renewed"}
    wanted = {job.blob for job in seen.jobs.values() if job.status in {"queued", "scheduled", "started", "failed"}}
    for sha256, left_s in seen.blobs.items():
        assert (sha256 in renewed) == (left_s == -1 or (left_s == 10 and sha256 in wanted))


@given(SNAPSHOTS)
def test_dead_workers_are_forgotten(seen: Snapshot) -> None:
    found = {(finding.kind, finding.subject) for finding in _found(seen)}
    assert ("workers", "old-2") in found
    assert ("workers", "old-1") in found or seen.slots
    assert ("slots", "old-1.fake.batch.1") in found or seen.slots.get("old-1.fake.batch.1", True)


def test_what_a_script_alone_can_tell_is_done_at_once_and_the_rest_is_looked_at_again() -> None:
    assert {"due", "expired", "renewed", "workers"}.isdisjoint(DOUBTFUL)
