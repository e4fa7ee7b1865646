"""The scripts of the reaper and the courier, branch by branch: what the server holds before and after."""

from __future__ import annotations

import pytest
from integration.jobs.lua_state import NOW, Server, State, due, from_now
from redis.exceptions import ResponseError

JOB = {"id": "<id>", "lane": "<lane>"}


@pytest.mark.parametrize(
    ("due", "status", "answer", "changes"),
    [
        (100, "scheduled", 1, {
            "rq:scheduled:asrq-<lane>": {"other": 1},
            "rq:queue:asrq-<lane>": ["next", "<id>"],
            "rq:job:<id>": {"status": "queued", "enqueued_at": NOW},
        }),
        (100.1, "scheduled", 0, {}),
        (None, "scheduled", 0, {}),
        (100, "canceled", 0, {"rq:scheduled:asrq-<lane>": {"other": 1}}),
    ],
    ids=["due", "early", "unlisted", "canceled"],
)  # fmt: skip
def test_a_retry_moves_when_it_is_due(
    server: Server, due: float | None, status: str, answer: int, changes: State
) -> None:
    listed = {"other": 1.0} if due is None else {"other": 1.0, "<id>": due}
    server.put(
        {"rq:job:<id>": {"status": status}, "rq:scheduled:asrq-<lane>": listed, "rq:queue:asrq-<lane>": ["next"]}
    )
    assert server.call("enqueue_due", **JOB, by=100) == answer
    assert server.changed() == changes


def test_a_retry_whose_lane_has_the_wrong_type_waits_where_the_reaper_finds_it(server: Server) -> None:
    server.put(
        {"rq:job:<id>": {"status": "scheduled"}, "rq:scheduled:asrq-<lane>": {"<id>": 1}}
        | {"rq:queue:asrq-<lane>": "damaged"}
    )
    assert server.call("enqueue_due", **JOB, by=100) == 1
    assert server.changed() == {
        "rq:job:<id>": {"status": "queued", "enqueued_at": NOW}, "rq:scheduled:asrq-<lane>": None
    }  # fmt: skip


WAITED: State = {
    "rq:job:<id>": {"status": "queued", "enqueued_at": "2026-01-01"},
    "rq:queue:asrq-<lane>": ["next", "<id>"],
    "rq:queue:asrq-<lane>:intermediate": ["other"],
    "asrq:events:<id>": [{"event": "queued"}],
    "asrq:attempts:<id>": ["1"],
    "asrq:chunks:<id>": {"0-1": "text"},
    "asrq:cancel:<id>": "1",
    "asrq:blob:<sha256>": ("audio", 300),
    "asrq:uses:<sha256>": ({"job": ""}, 300),
}
EXPIRED: State = {
    "rq:job:<id>": ({"status": "failed", "enqueued_at": "2026-01-01", "ended_at": NOW}, 600),
    "rq:queue:asrq-<lane>": ["next"],
    "rq:failed:asrq-<lane>": {"<id>": from_now(600)},
    "asrq:result:<id>": ("result", 600),
    "rq:results:<id>": ([{"type": "2", "exc_string": "exc"}], 600),
    "asrq:events:<id>": ([{"event": "queued"}, {"event": "event"}], 600),
    "asrq:attempts:<id>": (["1"], 600),
    "asrq:chunks:<id>": ({"0-1": "text"}, 600),
    "asrq:cancel:<id>": None,
    "asrq:stats": {"expired": "1"},
    "asrq:blob:<sha256>": ("audio", 2000),
    "asrq:uses:<sha256>": ({"job": ""}, 2000),
}


def expire(server: Server, *, delivery: str | None = None) -> int:
    given = JOB | {
        "outcome": "expired", "before": "2026-01-02", "event": "event", "result": "result", "ttl_s": 600,
        "entry": ["type", "2", "exc_string", "exc"], "blob": "asrq:blob:<sha256>", "blob_ttl_s": 2000,
    }  # fmt: skip
    answer: int = server.call("end_execution", **given, **({"delivery": delivery} if delivery else {}))
    return answer


@pytest.mark.parametrize("delivery", [None, "delivery"])
def test_a_job_that_waited_for_too_long_ends(server: Server, delivery: str | None) -> None:
    server.put(WAITED)
    assert expire(server, delivery=delivery) == 1
    expected = EXPIRED | due(delivery)
    assert server.changed() == expected
    assert expire(server) == 0
    assert server.changed() == expected


def test_a_job_that_a_slot_has_taken_too_late_ends(server: Server) -> None:
    """Other entries of it in its lane are dropped when they are taken."""
    server.put(WAITED | {"rq:queue:asrq-<lane>:intermediate": ["other", "<id>"]})
    assert expire(server) == 1
    expected = EXPIRED | {"rq:queue:asrq-<lane>:intermediate": ["other"]}
    assert server.changed() == {name: held for name, held in expected.items() if name != "rq:queue:asrq-<lane>"}


def test_a_job_that_waited_for_a_certain_worker_for_too_long_ends(server: Server) -> None:
    job = WAITED["rq:job:<id>"] | {"waits_for": "qwen"}
    server.put(WAITED | {"rq:job:<id>": job, "rq:queue:asrq-<lane>@qwen": ["<id>", "next"]})
    assert expire(server) == 1
    ended = (job | {"status": "failed", "ended_at": NOW}, 600)
    assert server.changed() == EXPIRED | {"rq:job:<id>": ended, "rq:queue:asrq-<lane>@qwen": ["next"]}


def test_a_job_that_waited_for_too_long_ends_though_shared_keys_have_the_wrong_type(server: Server) -> None:
    lanes = ("rq:queue:asrq-<lane>", "rq:queue:asrq-<lane>:intermediate")
    shared = (*lanes, "rq:failed:asrq-<lane>", "asrq:stats", "asrq:webhooks")
    server.put(WAITED | dict.fromkeys(shared, "damaged"))
    assert expire(server, delivery="delivery") == 1
    assert server.changed() == {name: held for name, held in EXPIRED.items() if name not in shared}


@pytest.mark.parametrize(
    "job",
    [
        {"status": "started", "enqueued_at": "2026-01-01"},
        {"status": "queued"},
        {"status": "queued", "enqueued_at": ""},
        {"status": "queued", "enqueued_at": "2026-01-02"},
        {"status": "queued", "enqueued_at": "2026-01-03"},
    ],
)
def test_a_job_that_did_not_wait_for_too_long_goes_on(server: Server, job: State) -> None:
    server.put(WAITED | {"rq:job:<id>": job})
    assert expire(server) == 0
    assert server.changed() == {}


def reconcile(server: Server) -> int:
    answer: int = server.call("reconcile", **JOB, need="<need>", now=1000, execution="made-up", ttl_s=600)
    return answer


LEFT: State = {
    "asrq:events:<id>": [{"event": "event"}], "asrq:attempts:<id>": ["1"], "asrq:chunks:<id>": {"0-1": "text"}
}  # fmt: skip
QUEUED: State = {"rq:job:<id>": {"status": "queued"}, "rq:queue:asrq-<lane>": ["next"]}
APART: State = {
    "rq:job:<id>": {"status": "queued", "waits_for": "qwen"},
    "rq:queue:asrq-<lane>": ["next"],
    "rq:queue:asrq-<lane>@qwen": ["other", "<id>"],
    "rq:queues": {"rq:queue:asrq-<lane>@qwen"},
}
BACK: State = {"rq:queue:asrq-<lane>": ["<id>", "next"]}
SCHEDULED: State = {"rq:job:<id>": {"status": "scheduled"}}
STARTED: State = {
    "rq:job:<id>": {"status": "started"},
    "asrq:leases": {"<lane>/<id>s/run": 1, "interactive/<id>/run": 1},
}


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        (QUEUED | {"rq:queue:asrq-<lane>": ["next", "<id>"]}, {}),
        (QUEUED | {"rq:queue:asrq-<lane>:intermediate": ["<id>"]}, {}),
        (QUEUED, {"rq:queue:asrq-<lane>": ["<id>", "next"]}),
        (APART, {}),
        (APART | {"rq:queue:asrq-<lane>@qwen": ["other"]}, BACK),
        (APART | {"rq:queue:asrq-<lane>@qwen": "damaged"}, BACK),
        (APART | {"rq:queues": {"rq:queue:asrq-<lane>"}}, BACK),
        (APART | {"rq:queue:asrq-<lane>@qwen": ["other"], "rq:queue:asrq-<lane>": ["<id>"]}, {}),
        (SCHEDULED | {"rq:scheduled:asrq-<lane>": {"<id>": 2000}}, {}),
        (SCHEDULED | {"rq:scheduled:asrq-<lane>": {"other": 2000}}, {
            "rq:scheduled:asrq-<lane>": {"other": 2000, "<id>": 1000}
        }),
        (STARTED | {"asrq:leases": {"<lane>/<id>/run": 1, "<lane>/<id>s/run": 2}}, {}),
        (STARTED, {"asrq:leases": STARTED["asrq:leases"] | {"<lane>/<id>/made-up": 1000}}),
        (STARTED | {"rq:executions:<id>": {"first": 1, "last": 2}}, {
            "asrq:leases": STARTED["asrq:leases"] | {"<lane>/<id>/last": 1000}
        }),
    ],
    ids=["queued", "taken", "queued nowhere", "apart", "apart nowhere", "apart damaged", "apart unregistered",
         "apart before", "scheduled", "scheduled nowhere", "started", "lost", "lost, RQ knows"],
)  # fmt: skip
def test_a_job_that_goes_on_is_where_its_status_says(server: Server, before: State, changes: State) -> None:
    server.put(LEFT | before)
    assert reconcile(server) == int(bool(changes))
    assert server.changed() == changes
    assert reconcile(server) == 0, "nothing is amiss any more"
    assert server.changed() == changes


@pytest.mark.parametrize("name", ["rq:job:<id>", "asrq:events:<id>", "asrq:attempts:<id>"])
@pytest.mark.parametrize(
    "there",
    [
        QUEUED | {"rq:queue:asrq-<lane>": ["<id>"]},
        SCHEDULED | {"rq:scheduled:asrq-<lane>": {"<id>": 2000}},
        STARTED | {"asrq:leases": {"<lane>/<id>/run": 1}},
    ],
    ids=["queued", "scheduled", "started"],
)
def test_a_job_that_goes_on_does_not_expire(server: Server, there: State, name: str) -> None:
    kept = LEFT | there | {"asrq:chunks:<id>": ({"0-1": "text"}, 500)}
    server.put(kept | {name: (kept[name], 500)})
    assert reconcile(server) == 1
    assert server.changed() == {name: kept[name]}


@pytest.mark.parametrize("status", ["finished", "failed", "canceled", "stopped"])
def test_what_is_left_of_a_job_that_has_ended_expires(server: Server, status: str) -> None:
    job = {"rq:job:<id>": {"status": status}}
    lists = ("rq:queue:asrq-<lane>", "rq:queue:asrq-<lane>@<need>")
    server.put(LEFT | job | {name: ["<id>", "next", "<id>"] for name in lists})
    assert reconcile(server) == 1
    expiring = {name: (value, 600) for name, value in (LEFT | job).items()}
    assert server.changed() == expiring | {name: ["next"] for name in lists}
    assert reconcile(server) == 0


@pytest.mark.parametrize("name", ["rq:job:<id>", *LEFT, None])
def test_each_thing_that_is_amiss_counts(server: Server, name: str | None) -> None:
    held = {name: (value, 500) for name, value in LEFT.items()} | {"rq:job:<id>": ({"status": "failed"}, 500)}
    amiss = {name: held[name][0]} if name else {"rq:queue:asrq-<lane>": ["<id>", "next"]}
    server.put(held | amiss)
    assert reconcile(server) == 1
    assert server.changed() == ({name: (held[name][0], 600)} if name else {"rq:queue:asrq-<lane>": ["next"]})


def test_a_job_that_has_ended_leaves_its_lane_though_it_was_seen_in_no_other_list(server: Server) -> None:
    server.put({"rq:job:<id>": ({"status": "failed"}, 500), "rq:queue:asrq-<lane>": ["<id>", "next", "<id>"]})
    assert server.call("reconcile", **JOB, now=1000, execution="made-up", ttl_s=600) == 1
    assert server.changed() == {"rq:queue:asrq-<lane>": ["next"]}


def test_what_is_left_of_a_job_that_is_no_more_is_removed(server: Server) -> None:
    server.put(LEFT)
    assert reconcile(server) == 1
    assert server.changed() == dict.fromkeys(LEFT)


@pytest.mark.parametrize("there", [{"asrq:result:<id>": "result"}, {"rq:job:<id>": {"data": "x"}}])
def test_what_is_left_beside_a_result_or_a_job_without_a_status_expires(server: Server, there: State) -> None:
    server.put(LEFT | there)
    assert reconcile(server) == 1
    fixed = LEFT | {name: value for name, value in there.items() if name.startswith("rq:")}
    assert server.changed() == {name: (value, 600) for name, value in fixed.items()}


def test_a_status_that_nobody_knows_is_left_alone(server: Server) -> None:
    server.put(LEFT | {"rq:job:<id>": {"status": "deferred"}, "rq:queue:asrq-<lane>": ["<id>"]})
    assert reconcile(server) == 0
    assert server.changed() == {}


def test_the_delivery_that_is_due_longest_is_claimed(server: Server) -> None:
    later = 1e11  # no time that a server tells
    server.put({"asrq:webhooks": {"later": later, "second": 2, "first": 1}})
    assert server.call("claim_webhook", hidden_s=120) == ["first", NOW]
    assert server.call("claim_webhook", hidden_s=120) == ["second", NOW]
    assert server.call("claim_webhook", hidden_s=120) is None
    hidden = from_now(120)
    assert server.changed() == {"asrq:webhooks": {"later": later, "second": hidden, "first": hidden}}


def settle(server: Server, counter: str | None) -> int:
    over = {"counter": counter} if counter else {}
    answer: int = server.call("settle_webhook", claimed="claimed", tried="tried", wait_s=300, **over)
    return answer


@pytest.mark.parametrize(
    ("counter", "changes"),
    [
        (None, {"asrq:webhooks": {"other": 1, "tried": from_now(300)}}),
        ("webhooks_delivered", {"asrq:webhooks": {"other": 1}, "asrq:stats": {"webhooks_delivered": "1"}}),
    ],
)
def test_a_delivery_is_settled_once(server: Server, counter: str | None, changes: State) -> None:
    server.put({"asrq:webhooks": {"claimed": 220, "other": 1}})
    assert settle(server, counter) == 1
    assert settle(server, counter) == 0
    assert server.changed() == changes


def test_a_delivery_is_settled_though_the_counters_have_the_wrong_type(server: Server) -> None:
    """It is over, and is not counted."""
    server.put({"asrq:webhooks": {"claimed": 220, "other": 1}, "asrq:stats": "damaged"})
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        settle(server, "webhooks_delivered")
    assert settle(server, "webhooks_delivered") == 0
    assert server.changed() == {"asrq:webhooks": {"other": 1}}
