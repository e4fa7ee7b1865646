"""Erasing, branch by branch: what of a job is there in each state, and what other jobs need of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from integration.jobs.lua_state import Server, State, from_now
from redis.exceptions import ResponseError

SHA = "a1" * 32
META = json.dumps({"request_sha1": "00", "blob": SHA}, separators=(",", ":"))
BLOB, USES = f"asrq:blob:{SHA}", f"asrq:uses:{SHA}"
TRACE: State = {
    "rq:job:<id>": {"status": "started", "meta": META, "worker_name": "w"},
    "asrq:result:<id>": "result",
    "asrq:events:<id>": [{"event": "queued"}],
    "asrq:attempts:<id>": ["1"],
    "asrq:chunks:<id>": {"0-1": "text"},
    "asrq:cancel:<id>": "1",
    "rq:results:<id>": [{"type": "1"}],
    "rq:executions:<id>": {"run": 1},
}
REGISTRIES = tuple(f"rq:{kind}:asrq-<lane>" for kind in ("scheduled", "finished", "failed", "canceled"))
GONE: State = dict.fromkeys(TRACE)


def erase(server: Server) -> str:
    answer: str = server.run("erase", "job")
    return answer


def job(status: str, **fields: str) -> State:
    return {"rq:job:<id>": {"status": status} | fields}


@pytest.mark.parametrize("registry", REGISTRIES)
def test_a_job_leaves_nothing_but_what_others_have(server: Server, registry: str) -> None:
    server.put(TRACE | {registry: {"job": 1, "other": 1}, BLOB: "audio", USES: {"job": ""}})
    assert erase(server) == "erased"
    assert server.changed() == GONE | {registry: {"other": 1}, BLOB: None, USES: None}
    assert erase(server) == "missing"


@pytest.mark.parametrize("status", ["queued", "started"])
def test_a_job_leaves_its_lane(server: Server, status: str) -> None:
    apart = "rq:queue:asrq-<lane>@qwen"
    lists: State = {
        "rq:queue:asrq-<lane>": ["job", "next", "job"],
        "rq:queue:asrq-<lane>:intermediate": ["job"],
        apart: ["next", "job"],
    }
    server.put(job(status, waits_for="qwen") | lists)
    assert erase(server) == "erased"
    assert server.changed() == {
        "rq:job:<id>": None,
        "rq:queue:asrq-<lane>": ["next"],
        "rq:queue:asrq-<lane>:intermediate": None,
        apart: ["next"],
    }


def test_a_lane_that_is_not_its_own_is_not_searched(server: Server) -> None:
    server.put(job("finished", waits_for="qwen") | {"rq:queue:asrq-<lane>": ["job"]})
    assert erase(server) == "erased"
    assert server.changed() == {"rq:job:<id>": None}


@pytest.mark.parametrize(
    "damaged", ["rq:queue:asrq-<lane>", "rq:queue:asrq-<lane>:intermediate", "asrq:leases", *REGISTRIES]
)
def test_a_shared_key_of_the_wrong_type_leaves_the_job_to_be_erased_again(server: Server, damaged: str) -> None:
    server.put(TRACE | job("queued", meta=META) | {damaged: "damaged", BLOB: "audio", USES: {"job": ""}})
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        erase(server)
    assert server.changed() == {}


def test_the_lease_goes_and_the_worker_is_told(server: Server) -> None:
    executions = {
        "rq:wip:asrq-<lane>": {"job:run": 1, "jobs:run": 1},
        "rq:worker:w:executions": {"job:run", "jobs:run"},
    }
    leases = {"batch/job/run": from_now(9), "batch/jobs/run": 2.0}
    server.put(
        TRACE
        | executions
        | {"asrq:leases": {"batch/job/run": 1.0, "batch/jobs/run": 2.0}}
        | {"rq:execution:job:run": "x"}
    )
    del leases["batch/job/run"]
    with server.redis.pubsub() as heard:
        heard.subscribe("asrq:control")
        messages = heard.listen()
        assert next(messages)["type"] == "subscribe"
        assert erase(server) == "erased"
        assert json.loads(next(messages)["data"]) == {"command": "cancel", "id": "job"}
    assert server.changed() == GONE | {
        "rq:wip:asrq-<lane>": {"jobs:run": 1},
        "rq:worker:w:executions": {"jobs:run"},
        "asrq:leases": leases,
        "rq:execution:job:run": None,
    }


def test_a_lease_is_all_that_is_left(server: Server) -> None:
    server.put({"asrq:leases": {"batch/job/run": 1.0}})
    assert erase(server) == "erased"
    assert server.changed() == {"asrq:leases": None}


@pytest.mark.parametrize(
    ("entry", "kept"),
    [("batch/job/run", False), ("batch/other/run", True), (None, False)],
    ids=["its", "other", "none"],
)
def test_the_entry_that_names_its_result_goes(server: Server, entry: str | None, kept: bool) -> None:
    cache: State = {"asrq:cache:key": entry} if entry else {}
    server.put(job("finished", cache_key="key") | cache)
    assert erase(server) == "erased"
    assert server.changed() == {"rq:job:<id>": None} | ({} if kept or not entry else {"asrq:cache:key": None})


OTHER = "rq:job:other"


@pytest.mark.parametrize(
    ("other", "needs"),
    [
        ({"status": "queued", "meta": META}, True),
        ({"status": "started", "meta": META}, True),
        ({"status": "failed", "meta": META}, True),
        ({"status": "finished", "meta": META}, False),
        ({"status": "queued", "meta": "{}"}, False),
        ({"status": "queued"}, False),
        (None, False),
    ],
)  # fmt: skip
def test_an_upload_stays_while_another_job_may_need_it(server: Server, other: Any, needs: bool) -> None:
    there: State = {OTHER: other} if other else {}
    server.put(TRACE | there | {BLOB: "audio", USES: {"job": "", "other": ""}})
    assert erase(server) == "erased"
    assert server.changed() == GONE | ({USES: {"other": ""}} if needs else {BLOB: None, USES: None})


def test_who_needs_an_upload_is_found_among_many(server: Server) -> None:
    server.put(
        TRACE
        | {OTHER: {"status": "queued", "meta": META}, BLOB: "audio"}
        | {USES: {"job": "", "ghost": "", "other": ""}, "rq:job:third": {"status": "finished", "meta": META}}
    )
    assert erase(server) == "erased"
    assert server.redis.exists(BLOB)
    assert server.redis.hkeys(USES) == ["other"]


def test_where_it_is_not_known_who_needs_an_upload_nothing_is_touched(server: Server) -> None:
    server.put(TRACE | {BLOB: "audio", USES: "damaged"})
    with pytest.raises(Exception, match="WRONGTYPE"):
        erase(server)
    assert server.changed() == {}
