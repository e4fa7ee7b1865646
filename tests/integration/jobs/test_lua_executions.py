"""The scripts of a running job, branch by branch: what the server holds before and after."""

from __future__ import annotations

import json

import pytest
from integration.jobs.lua_state import NOW, Server, State, due, from_now

JOB = {"id": "<id>", "lane": "<lane>"}
RUN = JOB | {"execution": "<execution>", "worker": "<worker>"}
BEGIN = RUN | {"lease_s": 30, "horizon_s": 5000}

WAITS: State = {
    "rq:job:<id>": ({"status": "queued", "attempts_before": "1"}, 900),
    "rq:queue:asrq-<lane>:intermediate": ["<id>", "<id>", "other"],
    "asrq:attempts:<id>": (["{}"], 900),
    "asrq:events:<id>": ([{"event": "{}"}], 900),
    "asrq:cancel:<id>": "1",
}
TAKEN_OUT: State = {"rq:queue:asrq-<lane>:intermediate": ["<id>", "other"]}

BEGUN: State = TAKEN_OUT | {
    "rq:job:<id>": {
        "status": "started", "attempts_before": "1", "started_at": NOW, "last_heartbeat": NOW, "worker_name": "<worker>"
    },
    "rq:wip:asrq-<lane>": {"<id>:<execution>": from_now(5000)},
    "asrq:leases": {"<lane>/<id>/<execution>": from_now(30)},
    "rq:execution:<id>:<execution>": (
        {
            "id": "<execution>", "job_id": "<id>", "created_at": NOW, "last_heartbeat": NOW, "worker_name": "<worker>",
        }, 5000,
    ),
    "rq:executions:<id>": ({"<execution>": from_now(5000)}, 5000),
    "rq:worker:<worker>:executions": ({"<id>:<execution>"}, 5000),
}  # fmt: skip


def begun(server: Server) -> State:
    """What has changed, after a look at the new attempt and the event, which tell of now."""
    changed = server.changed()
    *_, event = changed.pop("asrq:events:<id>")
    told = json.loads(event["event"])
    assert told == {"type": "started", "at": from_now(0), "lane": "<lane>", "attempt": 2, "worker": "<worker>"}
    _, attempt = changed.pop("asrq:attempts:<id>")
    assert json.loads(attempt) == {"number": 2, "worker": "<worker>", "started_at": NOW}
    return changed


def test_a_job_begins(server: Server) -> None:
    server.put(WAITS | {"rq:job:<id>": ({"status": "queued", "attempts_before": "1", "waits_for": "qwen"}, 900)})
    verdict, attempts, canceled, earlier, now, kept = server.call("begin", **BEGIN)
    assert (verdict, len(attempts), canceled, earlier, now, kept) == ("started", 2, 1, 1, NOW, 0)
    assert begun(server) == BEGUN


def test_who_begins_a_job_is_told_of_finished_chunks(server: Server) -> None:
    server.put(WAITS | {"asrq:chunks:<id>": {"0": "{}"}})
    assert server.call("begin", **BEGIN)[-1] == 1


def test_a_job_that_an_execution_holds_does_not_begin_again(server: Server) -> None:
    server.put(WAITS | {"asrq:leases": {"<lane>/<id>s/run": 1030, "<lane>/<id>/other": 1}})
    assert server.call("begin", **BEGIN) == ["taken", [], 0, 0, NOW, 0]
    assert server.changed() == TAKEN_OUT


@pytest.mark.parametrize("result", ["{", "7", '"text"', '{"status":"failed"}'])
def test_a_job_begins_though_there_is_a_result_that_is_none(server: Server, result: str) -> None:
    server.put(WAITS | {"asrq:result:<id>": result})
    assert server.call("begin", **BEGIN)[0] == "started"
    assert begun(server) == BEGUN | {"asrq:result:<id>": None}


def test_a_job_begins_though_shared_keys_have_the_wrong_type(server: Server) -> None:
    shared = ("rq:queue:asrq-<lane>:intermediate", "rq:wip:asrq-<lane>", "rq:worker:<worker>:executions")
    server.put(WAITS | dict.fromkeys(shared, "damaged"))
    assert server.call("begin", **BEGIN)[0] == "started"
    expected = {name: held for name, held in BEGUN.items() if name not in shared}
    assert begun(server) == expected | {"rq:worker:<worker>:executions": ("damaged", 5000)}


def test_a_begin_that_is_repeated_changes_nothing(server: Server) -> None:
    server.put({"asrq:leases": {"<lane>/<id>/<execution>": 1030}, "rq:job:<id>": {"status": "started"}} | TAKEN_OUT)
    assert server.call("begin", **BEGIN) == ["started", [], 0, 0, NOW, 0]
    assert server.changed() == {}


@pytest.mark.parametrize(
    ("job", "verdict"), [(None, "gone"), ({"status": "started"}, "taken"), ({"status": "finished"}, "taken")]
)
def test_a_job_that_does_not_wait_leaves_the_list_alone(server: Server, job: State | None, verdict: str) -> None:
    """Also where another execution holds it."""
    held: State = {"asrq:leases": {"<lane>/<id>/other": 1030}}
    server.put(WAITS | held | {"rq:job:<id>": job} if job else TAKEN_OUT | {"asrq:cancel:<id>": "1"})
    assert server.call("begin", **BEGIN) == [verdict, [], 0, 0, NOW, 0]
    assert server.changed() == (TAKEN_OUT if job else {"rq:queue:asrq-<lane>:intermediate": ["other"]})


@pytest.mark.parametrize("registry", [None, "damaged"])
def test_a_job_whose_result_is_there_is_done(server: Server, registry: str | None) -> None:
    damaged = {"rq:finished:asrq-<lane>": registry} if registry else {}
    server.put(WAITS | damaged | {"asrq:result:<id>": '{"status":"completed"}'})
    assert server.call("begin", **BEGIN) == ["done", [], 0, 0, NOW, 0]
    listed = {} if registry else {"rq:finished:asrq-<lane>": {"<id>": from_now(5000)}}
    assert server.changed() == TAKEN_OUT | listed | {
        "rq:job:<id>": ({"status": "finished", "attempts_before": "1"}, 900)
    }


@pytest.mark.parametrize("damaged", [False, True])
def test_leases_are_renewed(server: Server, damaged: bool) -> None:
    """Of what moves; one that is gone is not made anew, nor one that lapsed before its job was canceled."""
    leases = dict.fromkeys(("batch/moves/1", "batch/hangs/1", "batch/ended/1", "batch/other/1"), 1)
    server.put(
        {"asrq:leases": "damaged" if damaged else leases | {"batch/canceled/1": 4e9}}
        | {f"asrq:cancel:{job_id}": "1" for job_id in ("gone", "hangs", "ended", "canceled")}
        | {"asrq:cancel:moves": ["no mark"]}
    )
    given = {"moves": True, "hangs": False, "ended": True, "canceled": True, "gone": True}
    held = [{"id": job_id, "lease": f"batch/{job_id}/1", "moving": moving} for job_id, moving in given.items()]
    answer = server.call("renew", leases=held, lease_s=30)
    assert answer == [[1, 0], [1, 1], [1, 1], [1, 1], [int(damaged), 1]]
    renewed = {"asrq:leases": leases | {"batch/moves/1": from_now(30), "batch/canceled/1": from_now(30)}}
    assert server.changed() == ({} if damaged else renewed)


NOTE: State = {
    "id": "<id>", "lease": "<lane>/<id>/<execution>", "events": ["event", "another"],
    "chunk": "0-1", "transcript": "text", "ttl_s": 700,
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        (
            NOTE,
            {
                "asrq:events:<id>": [{"event": "event"}, {"event": "another"}],
                "asrq:chunks:<id>": ({"0-1": "text"}, 700),
            },
        ),
        (
            {name: value for name, value in NOTE.items() if name not in {"chunk", "transcript"}},
            {"asrq:events:<id>": [{"event": "event"}, {"event": "another"}]},
        ),
        (NOTE | {"events": []}, {"asrq:chunks:<id>": ({"0-1": "text"}, 700)}),
        (NOTE | {"lease": "<lane>/<id>/other"}, {}),
    ],
    ids=["both", "events", "chunk", "fenced"],
)
def test_a_note_is_taken_of_what_holds_its_lease(server: Server, given: State, changes: State) -> None:
    server.put({"asrq:leases": {"<lane>/<id>/<execution>": 1030}})
    last = server.call("note", **given)
    events = server.redis.xrange("asrq:events:<id>")
    assert last == (None if not changes else events[-1][0] if events else "")
    assert server.changed() == changes


def test_an_event_may_take_the_place_of_another(server: Server) -> None:
    server.put({"asrq:leases": {"<lane>/<id>/<execution>": 1030}})
    given = {name: value for name, value in NOTE.items() if name not in {"chunk", "transcript"}}
    last = server.call("note", **given)
    server.call("note", **given | {"events": ["newer"], "instead_of": last})
    server.call("note", **given | {"events": ["newest"], "instead_of": last})
    told = ("event", "newer", "newest")
    assert server.changed() == {"asrq:events:<id>": [{"event": event} for event in told]}


def test_no_note_is_taken_of_what_has_ended(server: Server) -> None:
    server.put({"asrq:leases": {"<lane>/<id>/<execution>": 1030}, "asrq:result:<id>": "canceled"})
    assert server.call("note", **NOTE) is None
    assert server.changed() == {}


HELD: State = {
    "rq:job:<id>": {"status": "started", "worker_name": "<worker>"},
    "asrq:leases": {"<lane>/<id>/<execution>": 1030, "<lane>/<id>/other": 1030},
    "rq:wip:asrq-<lane>": {"<id>:<execution>": 1, "<id>:other": 1},
    "rq:execution:<id>:<execution>": {"id": "<execution>"},
    "rq:executions:<id>": {"<execution>": 1, "other": 1},
    "rq:worker:<worker>:executions": {"<id>:<execution>", "<id>:other"},
    "asrq:attempts:<id>": ["1", "2"],
    "asrq:events:<id>": [{"event": "started"}],
    "asrq:chunks:<id>": {"0-1": "text"},
    "asrq:blob:<sha256>": ("audio", 300),
    "asrq:uses:<sha256>": ({"<id>": "", "other": ""}, 300),
}
LET_GO: State = {
    "asrq:leases": {"<lane>/<id>/other": 1030},
    "rq:wip:asrq-<lane>": {"<id>:other": 1},
    "rq:execution:<id>:<execution>": None,
    "rq:executions:<id>": {"other": 1},
    "rq:worker:<worker>:executions": {"<id>:other"},
    "asrq:attempts:<id>": ["1", "2 ended"],
    "asrq:events:<id>": [{"event": "started"}, {"event": "event"}],
}
KEPT: State = {"asrq:blob:<sha256>": ("audio", 2000), "asrq:uses:<sha256>": ({"<id>": "", "other": ""}, 2000)}
NEEDED_NO_MORE: State = {"asrq:chunks:<id>": None, "asrq:uses:<sha256>": ({"other": ""}, 300)}
ENDED: State = LET_GO | {
    "asrq:result:<id>": ("result", 600),
    "asrq:attempts:<id>": (["1", "2 ended"], 600),
    "asrq:events:<id>": ([{"event": "started"}, {"event": "event"}], 600),
    "asrq:chunks:<id>": ({"0-1": "text"}, 600),
}


PLACES = {
    "completed": "rq:finished:asrq-<lane>",
    "failed": "rq:failed:asrq-<lane>",
    "canceled": "rq:canceled:asrq-<lane>",
    "retry": "rq:scheduled:asrq-<lane>",
    "front": "rq:queue:asrq-<lane>",
}


def end(
    server: Server,
    outcome: str,
    *,
    attempt: str | None = "2 ended",
    event: str = "event",
    lapsed_by: float | None = None,
    delivery: str | None = None,
) -> int:
    kind = "1" if outcome == "completed" else "2"
    ends = {
        "result": "result", "delivery": delivery,
        "entry": None if outcome == "canceled" else ["type", kind, "field", "value", "execution_id", "<execution>"],
    }  # fmt: skip
    given = RUN | {
        "outcome": outcome, "event": event, "attempt": attempt, "lapsed_by": lapsed_by, "delay_s": 30, "ttl_s": 600,
        "blob": "asrq:blob:<sha256>", "blob_ttl_s": 2000,
    }  # fmt: skip
    given |= {} if outcome in {"retry", "front"} else ends
    answer: int = server.call("end_execution", **{name: value for name, value in given.items() if value is not None})
    return answer


def ended_as(status: str) -> State:
    job = {"status": status, "worker_name": "<worker>", "ended_at": NOW, "last_heartbeat": NOW}
    return {"rq:job:<id>": (job, 600)}


def told(kind: str) -> State:
    entry = {"type": kind, "field": "value", "execution_id": "<execution>"}
    return {"rq:results:<id>": ([entry], 600)}


@pytest.mark.parametrize(
    ("outcome", "changes"),
    [
        ("completed", ENDED | ended_as("finished") | told("1") | NEEDED_NO_MORE),
        ("failed", ENDED | ended_as("failed") | told("2") | KEPT),
        ("canceled", ENDED | ended_as("canceled")),
    ],
)
@pytest.mark.parametrize("delivery", [None, "delivery"])
def test_a_job_ends_once(server: Server, outcome: str, changes: State, delivery: str | None) -> None:
    server.put(HELD | {"asrq:cancel:<id>": "1"})
    assert end(server, outcome, delivery=delivery) == 1
    expected = changes | due(delivery) | {"asrq:stats": {outcome: "1"}, "asrq:cancel:<id>": None}
    expected[PLACES[outcome]] = {"<id>": from_now(600)}
    assert server.changed() == expected
    assert end(server, outcome, delivery=delivery) == 1, "the same end, sent again"
    assert server.changed() == expected
    assert end(server, outcome, event="another") == 0


@pytest.mark.parametrize(
    ("outcome", "changes"),
    [
        ("front", {
            "rq:job:<id>": {"status": "queued", "enqueued_at": NOW, "worker_name": ""},
            "rq:queue:asrq-<lane>": ["<id>", "next"],
        }),
        ("retry", {
            "rq:job:<id>": {"status": "scheduled", "worker_name": ""},
            "rq:scheduled:asrq-<lane>": {"<id>": from_now(30)},
        }),
    ],
)  # fmt: skip
def test_a_job_is_given_back(server: Server, outcome: str, changes: State) -> None:
    server.put(HELD | {"rq:queue:asrq-<lane>": ["next"]})
    assert end(server, outcome) == 1
    expected = LET_GO | KEPT | changes | {"asrq:stats": {outcome: "1"}}
    assert server.changed() == expected
    assert end(server, outcome) == 1, "the same end, sent again"
    assert server.changed() == expected
    server.redis.xadd("asrq:events:<id>", {"event": "started"})
    assert end(server, outcome) == 1, "and another execution has begun since"
    assert end(server, outcome, event="another") == 0


@pytest.mark.parametrize("outcome", ["front", "retry"])
def test_a_job_that_is_to_be_canceled_is_not_given_back(server: Server, outcome: str) -> None:
    server.put(HELD | {"asrq:cancel:<id>": "1"})
    assert end(server, outcome) == -1
    assert end(server, outcome, lapsed_by=2000) == -1
    assert server.changed() == {}


@pytest.mark.parametrize("outcome", ["completed", "canceled", "front"])
@pytest.mark.parametrize("lapsed_by", [None, 2000])
def test_a_job_that_was_canceled_after_its_lease_had_lapsed_is_let_go(
    server: Server, outcome: str, lapsed_by: float | None
) -> None:
    server.put(HELD | {"asrq:result:<id>": "canceled", "asrq:cancel:<id>": "1"})
    assert end(server, outcome, lapsed_by=lapsed_by) == 0
    kept = ("asrq:attempts:<id>", "asrq:events:<id>")
    expected = {name: held for name, held in LET_GO.items() if name not in kept}
    assert server.changed() == expected | {"asrq:cancel:<id>": None}


def test_an_attempt_that_is_not_to_count_is_removed(server: Server) -> None:
    server.put(HELD)
    end(server, "front", attempt=None)
    assert server.changed()["asrq:attempts:<id>"] == ["1"]


def test_a_job_ends_without_a_history(server: Server) -> None:
    server.put({name: held for name, held in HELD.items() if name != "asrq:attempts:<id>"})
    assert end(server, "failed") == 1
    assert "asrq:attempts:<id>" not in server.changed()


def test_a_job_ends_though_shared_keys_have_the_wrong_type(server: Server) -> None:
    shared = ("rq:wip:asrq-<lane>", "rq:worker:<worker>:executions", "asrq:stats", "asrq:webhooks", PLACES["failed"])
    server.put(HELD | dict.fromkeys(shared, "damaged"))
    assert end(server, "failed", delivery="delivery") == 1
    expected = ENDED | ended_as("failed") | told("2") | KEPT
    assert server.changed() == {name: held for name, held in expected.items() if name not in shared}


@pytest.mark.parametrize("outcome", ["front", "retry"])
def test_a_job_is_given_back_though_it_finds_no_place(server: Server, outcome: str) -> None:
    server.put(HELD | {PLACES[outcome]: "damaged"})
    assert end(server, outcome) == 1
    assert server.changed()["rq:job:<id>"]["status"] in {"queued", "scheduled"}
    assert PLACES[outcome] not in server.changed()


@pytest.mark.parametrize(("lapsed_by", "ends"), [(None, 1), (1029.9, 0), (1030, 1)])
def test_the_reaper_ends_what_has_lapsed(server: Server, lapsed_by: float | None, ends: int) -> None:
    server.put(HELD)
    assert end(server, "front", lapsed_by=lapsed_by) == ends
    assert bool(server.changed()) == bool(ends)


def test_an_execution_without_a_lease_ends_nothing(server: Server) -> None:
    server.put(HELD | {"asrq:leases": {"<lane>/<id>/other": 1030}, "asrq:result:<id>": ""})
    assert end(server, "failed") == 0
    assert end(server, "front", lapsed_by=2000) == 0
    assert server.changed() == {}


def test_an_execution_without_a_lease_ends_nothing_though_the_events_have_the_wrong_type(server: Server) -> None:
    server.put(HELD | {"asrq:leases": {"<lane>/<id>/other": 1030}, "asrq:events:<id>": "damaged"})
    assert end(server, "retry") == 0
    assert server.changed() == {}


@pytest.mark.parametrize(
    ("before", "answer", "changes"),
    [
        ({"rq:queue:asrq-<lane>:intermediate": ["other"]}, "none", {}),
        ({"rq:queue:asrq-<lane>:intermediate": ["<id>", "<id>"]}, "dropped", {
            "rq:queue:asrq-<lane>:intermediate": ["<id>"]
        }),
        ({"rq:queue:asrq-<lane>:intermediate": ["<id>"], "rq:job:<id>": {"status": "started"}}, "dropped", {
            "rq:queue:asrq-<lane>:intermediate": None
        }),
        ({
            "rq:queue:asrq-<lane>:intermediate": ["<id>"], "rq:job:<id>": {"status": "queued"},
            "rq:queue:asrq-<lane>": ["next"],
        }, "requeued", {"rq:queue:asrq-<lane>:intermediate": None, "rq:queue:asrq-<lane>": ["<id>", "next"]}),
        ({
            "rq:queue:asrq-<lane>:intermediate": ["<id>"], "rq:job:<id>": {"status": "queued"},
            "rq:queue:asrq-<lane>": "damaged",
        }, "requeued", {"rq:queue:asrq-<lane>:intermediate": None}),
    ],
)  # fmt: skip
def test_an_id_that_was_dequeued_and_not_begun(server: Server, before: State, answer: str, changes: State) -> None:
    server.put(before)
    assert server.call("recover_dequeued", **JOB) == answer
    assert server.changed() == changes


DEQUEUED: State = {
    "rq:job:<id>": {"status": "queued", "started_at": ""},
    "rq:queue:asrq-<lane>:intermediate": ["other", "<id>"],
    "rq:queue:asrq-<lane>@<need>": ["next"],
    "asrq:events:<id>": [{"event": "queued"}],
}
PASSED: State = {
    "rq:job:<id>": {"status": "queued", "started_at": "", "waits_for": "<need>"},
    "rq:queue:asrq-<lane>:intermediate": ["other"],
    "rq:queue:asrq-<lane>@<need>": ["next", "<id>"],
    "rq:queues": {"rq:queue:asrq-<lane>@<need>"},
    "asrq:events:<id>": [{"event": "queued"}, {"event": "event"}],
}


def pass_on(server: Server) -> str:
    answer: str = server.call("pass_on", **JOB, need="<need>", event="event")
    return answer


def test_a_job_is_passed_on_once(server: Server) -> None:
    server.put(DEQUEUED)
    assert pass_on(server) == "passed"
    assert server.changed() == PASSED
    assert pass_on(server) == "none"
    assert server.changed() == PASSED


@pytest.mark.parametrize(
    ("started", "listed"), [({}, ["next", "<id>"]), ({"started_at": "then"}, ["<id>", "next"])], ids=["never", "before"]
)
def test_a_job_that_ran_before_is_passed_on_to_the_front(server: Server, started: State, listed: list[str]) -> None:
    server.put(DEQUEUED | {"rq:job:<id>": {"status": "queued"} | started})
    assert pass_on(server) == "passed"
    assert server.changed()["rq:queue:asrq-<lane>@<need>"] == listed


@pytest.mark.parametrize("job", [None, {"status": "started"}, {"status": "canceled"}])
def test_what_does_not_wait_is_not_passed_on(server: Server, job: State | None) -> None:
    held = {name: held for name, held in DEQUEUED.items() if name != "rq:job:<id>"}
    server.put(held | ({"rq:job:<id>": job} if job else {}))
    assert pass_on(server) == "dropped"
    assert server.changed() == {"rq:queue:asrq-<lane>:intermediate": ["other"]}


def test_shared_keys_may_have_the_wrong_type_when_a_job_is_passed_on(server: Server) -> None:
    """Then it is on no list that anybody knows, and the reaper finds it."""
    shared = ("rq:queue:asrq-<lane>@<need>", "rq:queues")
    server.put(DEQUEUED | dict.fromkeys(shared, "damaged"))
    assert pass_on(server) == "passed"
    assert server.changed() == {name: held for name, held in PASSED.items() if name not in shared}
    server.put({"rq:queue:asrq-<lane>:intermediate": "damaged"})
    assert pass_on(server) == "none"


LANE, INTERMEDIATE = "rq:queue:asrq-batch", "rq:queue:asrq-batch:intermediate"


def take(server: Server, *apart: str) -> str | None:
    answer: str | None = server.call("take", lane="batch", needs=apart)
    return answer


def enqueued(**at: str) -> State:
    return {f"rq:job:{job_id}": {"status": "queued", "enqueued_at": moment} for job_id, moment in at.items()}


def test_what_was_enqueued_first_is_taken_first(server: Server) -> None:
    server.put(
        {LANE: ["b", "e"], f"{LANE}@qwen": ["a", "d"], f"{LANE}@language=ru": ["c"], f"{LANE}@onnx": ["not ours"]}
        | enqueued(a="2026-01-01", b="2026-01-02", c="2026-01-03", d="2026-01-04", e="2026-01-05")
    )
    assert [take(server, "language=ru", "qwen", "none") for _ in range(6)] == ["a", "b", "c", "d", "e", None]
    assert server.redis.lrange(INTERMEDIATE, 0, -1) == ["a", "b", "c", "d", "e"]
    assert server.redis.lrange(f"{LANE}@onnx", 0, -1) == ["not ours"]


def newest(server: Server) -> list[tuple[str, list[str]]]:
    return [(job_id, fields) for job_id, fields in server.call("newest", lane="batch")]


def test_who_dequeues_is_told_of_the_jobs_that_were_dequeued_last(server: Server) -> None:
    assert newest(server) == []
    server.put({INTERMEDIATE: ["a", "b", "c"]} | enqueued(a="2026-01-01", b="2026-01-02"))
    assert newest(server) == [("b", ["status", "queued", "enqueued_at", "2026-01-02"]), ("c", [])]
    server.redis.set("rq:job:c", "no hash")
    assert [job_id for job_id, _ in newest(server)] == ["b"]
    server.put({INTERMEDIATE: "damaged"})
    assert newest(server) == []


def test_an_id_without_a_job_is_taken_first_to_be_dropped(server: Server) -> None:
    server.put({LANE: ["a", "b"], f"{LANE}@qwen": ["ghost", "odd", "c"]} | enqueued(a="2026-01-01", b="2026-01-02"))
    server.redis.set("rq:job:odd", "no hash")
    server.redis.hset("rq:job:c", "status", "queued")
    assert [take(server, "qwen") for _ in range(5)] == ["ghost", "odd", "c", "a", "b"]


def test_a_list_of_the_wrong_type_is_left_alone(server: Server) -> None:
    server.put({LANE: "damaged", f"{LANE}@qwen": ["a"]} | enqueued(a="2026-01-01"))
    assert take(server, "qwen") == "a"
    assert take(server, "qwen") is None


OURS, URGENT = "batch/job/run", "interactive/job/run"
LATER = 1e11  # no time that a server tells
ENTRY = "asrq:cache:<key>"


@pytest.mark.parametrize(
    ("lease", "entry", "leases", "useless", "answer"),
    [
        (OURS, None, {}, "", ["ours", ""]),
        (OURS, OURS, {}, "", ["ours", OURS]),
        (OURS, "batch/other/1", {"batch/other/1": LATER}, "", ["busy", "batch/other/1"]),
        (OURS, "interactive/other/1", {"interactive/other/1": LATER}, "", ["busy", "interactive/other/1"]),
        (OURS, "batch/other/1", {"batch/other/1": 1}, "", ["ours", "batch/other/1"]),
        (OURS, "batch/other/1", {"batch/other/2": LATER}, "", ["ended", "batch/other/1"]),
        (OURS, "batch/other/1", {}, "batch/other/1", ["ours", "batch/other/1"]),
        (URGENT, "batch/other/1", {"batch/other/1": LATER}, "", ["ours", "batch/other/1"]),
        (URGENT, "interactive/other/1", {"interactive/other/1": LATER}, "", ["busy", "interactive/other/1"]),
    ],
)  # fmt: skip
def test_whose_result_may_serve_a_job(
    server: Server, lease: str, entry: str | None, leases: dict[str, float], useless: str, answer: list[str]
) -> None:
    server.put(({ENTRY: entry} if entry else {}) | {"asrq:leases": leases | {lease: LATER}})
    given = {"useless": useless} if useless else {}
    assert server.call("reuse", key="<key>", lease=lease, ttl_s=3600, **given) == answer
    taken = {ENTRY: (lease, 3600), "rq:job:job": {"cache_key": "<key>"}}
    assert server.changed() == (taken if answer[0] == "ours" else {})


@pytest.mark.parametrize("entry", [None, "batch/other/1"])
def test_who_has_lost_its_lease_makes_no_result_for_others(server: Server, entry: str | None) -> None:
    """Its job was erased, or another execution has it."""
    server.put({ENTRY: entry, "asrq:leases": {entry: 1}} if entry else {})
    assert server.call("reuse", key="<key>", lease=OURS, ttl_s=3600) == ["ours", ""]
    assert server.changed() == {}
