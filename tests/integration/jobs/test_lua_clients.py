"""The scripts that clients run, branch by branch, also where the published vectors do not go."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from conftest import REPO
from integration.jobs.lua_state import NOW, Server, State, from_now
from redis import Redis
from redis.exceptions import ResponseError

from asrq_jobs import scripts
from asrq_jobs.request import Request
from asrq_jobs.scripts import ScriptName

LANES = ("rq:queue:asrq-<lane>", "rq:scheduled:asrq-<lane>")
WAITS: State = {
    "rq:job:<id>": {"status": "queued"},
    "rq:queue:asrq-<lane>": ["job", "next", "job"],
    "rq:scheduled:asrq-<lane>": {"other": 1},
    "asrq:events:<id>": [{"event": "queued"}],
    "asrq:attempts:<id>": ["1"],
    "asrq:chunks:<id>": {"0-1": "text"},
}
CANCELED: State = {
    "rq:job:<id>": ({"status": "canceled"}, 600),
    "rq:queue:asrq-<lane>": ["next", "job"],
    "rq:canceled:asrq-<lane>": {"job": from_now(600)},
    "asrq:result:<id>": ("result", 600),
    "asrq:events:<id>": ([{"event": "queued"}, {"event": "event"}], 600),
    "asrq:stats": {"canceled": "1"},
    "asrq:attempts:<id>": (["1"], 600),
    "asrq:chunks:<id>": ({"0-1": "text"}, 600),
}


def cancel(server: Server) -> str:
    answer: str = server.run("cancel", "job", "result", "event", 600, "read no more")
    return answer


def test_a_job_that_waits_is_canceled(server: Server) -> None:
    server.put(WAITS)
    assert cancel(server) == "canceled"
    assert server.changed() == CANCELED


def test_a_job_that_waits_for_its_retry_is_canceled(server: Server) -> None:
    server.put(
        WAITS
        | {"rq:job:<id>": {"status": "scheduled"}, "rq:queue:asrq-<lane>": ["next"]}
        | {"rq:scheduled:asrq-<lane>": {"other": 1, "job": 1}}
    )
    assert cancel(server) == "canceled"
    expected = CANCELED | {"rq:scheduled:asrq-<lane>": {"other": 1}}
    assert server.changed() == {name: held for name, held in expected.items() if name != "rq:queue:asrq-<lane>"}


def test_a_job_that_waits_for_a_certain_worker_is_canceled(server: Server) -> None:
    job, lane = {"status": "queued", "waits_for": "qwen"}, {"rq:queue:asrq-<lane>": ["next"]}
    server.put(WAITS | {"rq:job:<id>": job, "rq:queue:asrq-<lane>@qwen": ["job", "next"]} | lane)
    assert cancel(server) == "canceled"
    apart = {"rq:queue:asrq-<lane>@qwen": ["next"]}
    expected = {name: held for name, held in CANCELED.items() if name != "rq:queue:asrq-<lane>"}
    assert server.changed() == expected | apart | {"rq:job:<id>": (job | {"status": "canceled"}, 600)}


@pytest.mark.parametrize("status", ["queued", "scheduled"])
def test_a_job_that_waits_is_canceled_wherever_it_is(server: Server, status: str) -> None:
    """A slot is just taking it, or it is on no list: from its status on nothing begins it."""
    server.put({name: held for name, held in WAITS.items() if name not in LANES} | {"rq:job:<id>": {"status": status}})
    assert cancel(server) == "canceled"
    assert server.changed() == {name: held for name, held in CANCELED.items() if name not in LANES}


def leased(*expiries: float) -> State:
    """Leases of executions that hold the job, some seconds from now."""
    held = {f"batch/job/{number}": round(time.time()) + expiry for number, expiry in enumerate(expiries)}
    return {"asrq:leases": held | {"batch/jobs/run": 1.0}}


@pytest.mark.parametrize("status", ["started", "queued", "canceled"])
def test_a_job_whose_lease_has_lapsed_is_canceled(server: Server, status: str) -> None:
    """`canceled` by RQ's own tools, that is, without a result."""
    server.put(WAITS | leased(-1e6) | {"rq:job:<id>": {"status": status}, "rq:queue:asrq-<lane>": ["next", "job"]})
    assert cancel(server) == "canceled"
    marked = {"asrq:cancel:<id>": ("1", 600), "rq:queue:asrq-<lane>": ["next"]}
    assert server.changed() == CANCELED | marked
    assert cancel(server) == "ended"


@pytest.mark.parametrize("damaged", [*LANES, "rq:canceled:asrq-<lane>", "asrq:stats", "asrq:leases"])
def test_a_cancel_that_meets_a_shared_key_of_the_wrong_type_leaves_the_job_as_it_was(
    server: Server, damaged: str
) -> None:
    """Without the counter it is off its list by then, where the reaper puts it back."""
    server.put(WAITS | {damaged: "damaged"})
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        cancel(server)
    assert server.changed() == ({"rq:queue:asrq-<lane>": ["next", "job"]} if damaged == "asrq:stats" else {})


@pytest.mark.parametrize(
    ("status", "leases", "lane"),
    [
        ("started", {}, ["next"]),
        ("started", leased(1e6), ["next", "job"]),
        ("started", leased(1e6, -1e6), ["next"]),
        ("queued", leased(-1e6, 1e6), ["next"]),
        ("canceled", leased(1e6), ["next"]),
    ],
    ids=["lease lost", "and listed", "held twice", "RQ has queued it", "RQ has canceled it"],
)
def test_a_job_that_was_taken_is_marked_and_its_worker_told(
    server: Server, status: str, leases: State, lane: list[str]
) -> None:
    server.put(WAITS | leases | {"rq:job:<id>": {"status": status}, "rq:queue:asrq-<lane>": lane})
    with server.redis.pubsub() as heard:
        heard.subscribe("asrq:control")
        messages = heard.listen()
        assert next(messages)["type"] == "subscribe"
        assert cancel(server) == "requested"
        assert json.loads(next(messages)["data"]) == {"command": "cancel", "id": "job"}
    assert server.changed() == {"asrq:cancel:<id>": ("1", 600)} | (
        {"rq:queue:asrq-<lane>": ["next"]} if "job" in lane else {}
    )


@pytest.mark.parametrize("kept", [True, False])
def test_who_may_not_write_results_copies_the_one_that_workers_keep(
    server: Server, valkey_url: str, kept: bool
) -> None:
    kept_by_workers = {"asrq:canceled": "as workers write it"} if kept else {}
    server.put(WAITS | kept_by_workers)
    users = (REPO / "ops/redis/users.acl.example").read_text(encoding="utf-8").splitlines()
    [rights] = [line.split()[2:] for line in users if line.startswith("user client ")]
    sending = ["(+eval", "+evalsha", "+script|load", "~rq:*", "~asrq:*)"]  # instead of calling the same as a function
    server.redis.execute_command("ACL", "SETUSER", "other", *rights, *sending)
    try:
        login = valkey_url.replace("//", "//other:CLIENT_PASSWORD@")
        with Redis.from_url(login, decode_responses=True) as redis:
            assert Server(redis).run("cancel", "job", "forged", "event", 600, 0) == "canceled"
    finally:
        server.redis.acl_deluser("other")
    copied = {"asrq:result:<id>": ("as workers write it", 600)} if kept else {}
    assert server.changed() == {name: held for name, held in CANCELED.items() if name != "asrq:result:<id>"} | copied


@pytest.mark.parametrize("status", ["finished", "failed", "canceled", "stopped"])
def test_a_job_that_has_ended_is_not_canceled(server: Server, status: str) -> None:
    server.put(WAITS | {"rq:job:<id>": {"status": status}})
    assert cancel(server) == "ended"
    assert server.changed() == {}


@pytest.mark.parametrize(("left", "answer"), [({"asrq:result:<id>": "result"}, "ended"), ({}, "missing")])
def test_a_job_that_is_gone_is_not_canceled(server: Server, left: State, answer: str) -> None:
    server.put({name: held for name, held in WAITS.items() if name != "rq:job:<id>"} | left)
    assert cancel(server) == answer
    assert server.changed() == {}


DEAD: State = {
    "rq:job:<id>": ({"status": "failed", "worker_name": "w", "ended_at": "then", "started_at": "then"}, 500),
    "rq:queue:asrq-<lane>": ["next"],
    "rq:failed:asrq-<lane>": {"job": 1, "other": 1},
    "rq:canceled:asrq-<lane>": {"job": 1, "other": 1},
    "asrq:cancel:<id>": "1",
    "asrq:events:<id>": ([{"event": "failed"}], 500),
    "asrq:result:<id>": ("result", 500),
    "asrq:attempts:<id>": (["1", "2"], 500),
    "asrq:chunks:<id>": ({"0-1": "text"}, 500),
}
RETRIED: State = {
    "rq:job:<id>": {
        "status": "queued", "enqueued_at": NOW, "ended_at": "", "started_at": "", "worker_name": "",
        "attempts_before": "2",
    },
    "rq:queue:asrq-<lane>": ["next", "job"],
    "rq:failed:asrq-<lane>": {"other": 1},
    "rq:canceled:asrq-<lane>": {"other": 1},
    "asrq:cancel:<id>": None,
    "asrq:events:<id>": [{"event": "failed"}, {"event": "event"}],
    "asrq:result:<id>": None,
    "asrq:attempts:<id>": ["1", "2"],
    "asrq:chunks:<id>": {"0-1": "text"},
}  # fmt: skip


@pytest.mark.parametrize("status", ["failed", "canceled", "stopped"])
def test_a_dead_job_is_retried(server: Server, status: str) -> None:
    server.put(DEAD | {"rq:job:<id>": (DEAD["rq:job:<id>"][0] | {"status": status}, 500)})
    assert server.run("retry", "job", "event", "read no more") == "queued"
    assert server.changed() == RETRIED


@pytest.mark.parametrize(
    "damaged", ["rq:queue:asrq-<lane>", "rq:failed:asrq-<lane>", "rq:canceled:asrq-<lane>", "asrq:leases"]
)
def test_a_retry_that_meets_a_shared_key_of_the_wrong_type_leaves_the_job_as_it_was(
    server: Server, damaged: str
) -> None:
    """Its id may be in the lane by then, where nobody begins a job that has failed."""
    server.put(DEAD | {damaged: "damaged"})
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        server.run("retry", "job", "event", "read no more")
    assert server.changed().keys() <= {"rq:queue:asrq-<lane>", "rq:failed:asrq-<lane>"}


def test_a_job_that_an_execution_holds_is_not_retried_whatever_its_status_says(server: Server) -> None:
    other = {"asrq:leases": {"batch/jobs/run": 1.0, "batch/a-job/run": 1.0}}
    server.put(DEAD | {"asrq:leases": {"batch/job/run": 1.0} | other["asrq:leases"]})
    assert server.run("retry", "job", "event", "read no more") == "started"
    assert server.changed() == {}
    server.redis.delete("asrq:leases")
    server.put(DEAD | other)
    assert server.run("retry", "job", "event", "read no more") == "queued"


@pytest.mark.parametrize(
    ("script", "status"),
    [("cancel", "queued"), ("retry", "failed"), ("retry", "canceled"), ("purge", "failed"), ("erase", "queued")],
)
def test_a_job_is_only_touched_in_its_own_lane(server: Server, script: ScriptName, status: str) -> None:
    """Somebody submitted it between the look for its lane and the script."""
    args = {"cancel": ("result", "event", 600, "read no more"), "retry": ("event", "read no more")}.get(script, ())
    server.put(DEAD | WAITS | {"rq:job:<id>": {"status": status, "origin": "asrq-<other lane>"}})
    assert server.run(script, "job", *args) == "missing"
    assert server.changed() == {}
    server.redis.hset("rq:job:<id>", "origin", "asrq-<lane>")
    assert server.run(script, "job", *args) != "missing"


@pytest.mark.parametrize("status", ["queued", "scheduled", "started", "finished", None])
def test_what_has_not_failed_is_neither_retried_nor_purged(server: Server, status: str | None) -> None:
    server.put(WAITS | {"rq:job:<id>": {"status": status}} if status else {})
    assert server.run("retry", "job", "event", "read no more") == (status or "missing")
    assert server.run("purge", "job") == (status or "missing")
    assert server.changed() == {}


@pytest.mark.parametrize("status", ["canceled", "stopped"])
def test_only_what_has_failed_is_purged(server: Server, status: str) -> None:
    server.put(DEAD | {"rq:job:<id>": {"status": status}})
    assert server.run("purge", "job") == status
    assert server.changed() == {}


def test_a_job_that_is_gone_leaves_the_registry_once(server: Server) -> None:
    server.put({"rq:failed:asrq-<lane>": {"job": 1, "other": 1}})
    assert server.run("purge", "job") == "purged"
    assert server.run("purge", "job") == "missing"
    assert server.changed() == {"rq:failed:asrq-<lane>": {"other": 1}}


def test_a_dead_job_is_purged(server: Server) -> None:
    server.put(DEAD | {"rq:results:<id>": [{"type": "2"}]})
    assert server.run("purge", "job") == "purged"
    kept = {"rq:queue:asrq-<lane>", "rq:canceled:asrq-<lane>", "asrq:cancel:<id>", "rq:failed:asrq-<lane>"}
    gone = dict.fromkeys({*DEAD, "rq:results:<id>"} - kept)
    assert server.changed() == gone | {"rq:failed:asrq-<lane>": {"other": 1}}


def document(**fields: Any) -> str:
    """A request with this and a path."""
    return json.dumps({"schema": "asrq.request/1", "id": "job", "audio": {"kind": "path", "path": "/a.wav"}} | fields)


def submit(server: Server, **fields: Any) -> dict[str, Any]:
    """Submit it under the keys that it has."""
    digest = fields.get("audio", {}).get("sha256")
    named = ["rq:job:job", "rq:queue:asrq-batch", "rq:queues", "asrq:events:job", "asrq:result:job", "asrq:limits",
             f"asrq:blob:{digest}" if digest else "-"]  # fmt: skip
    answer: dict[str, Any] = json.loads(
        scripts.load(server.redis, "submit")(named, ["job", "batch", document(**fields)])
    )
    return answer


@pytest.mark.parametrize("meta", [None, "{", "7", '"text"', "{}", '{"request_sha1": "another"}'])
def test_an_id_that_is_taken_stays_so_whatever_its_meta_says(server: Server, meta: str | None) -> None:
    server.put({"rq:job:job": {"status": "queued"} | ({"meta": meta} if meta else {})})
    assert submit(server)["error"]["code"] == "job_conflict"
    assert server.changed() == {}


@pytest.mark.parametrize(("asked", "stored"), [(1, "1"), (90.0, "90"), (86_400, "86400"), (None, None)])
def test_what_rq_is_told_of_a_time_limit(server: Server, asked: object, stored: str | None) -> None:
    submit(server, timeout_s=asked)
    assert server.changed()["rq:job:job"].get("timeout") == stored


@pytest.mark.parametrize("note", [lambda digest: digest[:16], lambda digest: digest], ids=["now", "before"])
def test_a_request_is_known_again_by_what_was_noted_of_it(server: Server, note: Callable[[str], str]) -> None:
    noted = json.dumps({"request_sha1": note(hashlib.sha1(document().encode()).hexdigest())})  # noqa: S324  # no secret
    server.put({"rq:job:job": {"status": "started", "meta": noted}})
    assert submit(server) == {"id": "job", "status": "started", "created": False}
    assert submit(server, task="translate")["error"]["code"] == "job_conflict"


def test_what_a_job_that_waits_costs(server: Server) -> None:
    """Goal: 1.5 KB, of a job with a request such as clients send, all keys and its place in the lane together."""
    count, digest = 2000, "0" * 64
    server.redis.set(f"asrq:blob:{digest}", "audio")
    submission = scripts.load(server.redis, "submit")

    def submit_some() -> None:
        for _ in range(count):
            request = Request.build(
                id=uuid.uuid4().hex, audio={"kind": "blob", "sha256": digest, "bytes": 1, "name": "recording.mp3"},
                language="ru", queue_ttl_s=86_400,
            )  # fmt: skip
            named = [f"rq:job:{request.id}", "rq:queue:asrq-batch", "rq:queues", f"asrq:events:{request.id}",
                     f"asrq:result:{request.id}", "asrq:limits", f"asrq:blob:{digest}"]  # fmt: skip
            assert json.loads(submission(named, [request.id, "batch", request.to_json()]))["created"]

    submit_some()
    before = server.redis.info("memory")["used_memory"]
    submit_some()
    assert (server.redis.info("memory")["used_memory"] - before) / count < 1500


@pytest.mark.parametrize(
    ("audio", "shown"),
    [
        ({"kind": "path", "path": "C:\\talks\\a@b.wav"}, "a@b.wav"),
        ({"kind": "path", "path": "/talks/"}, "path"),
        ({"kind": "path", "path": "a.wav"}, "a.wav"),
        ({"kind": "url", "url": "https://user:secret@host/a.mp3?key=secret"}, "a.mp3"),
        ({"kind": "url", "url": "https://host/talks//#part"}, "talks"),
        ({"kind": "url", "url": "https://user:secret@"}, "url"),
        ({"kind": "url", "url": "a.mp3"}, "a.mp3"),
        ({"kind": "url", "url": "///"}, "url"),
        ({"kind": "url", "url": "?"}, "url"),
        ({"kind": "blob", "sha256": "0" * 64, "bytes": 1, "name": ""}, "blob"),
        ({"kind": "blob", "sha256": "0" * 64, "bytes": 1, "name": "Речь.ogg"}, "Речь.ogg"),
        ({"kind": "blob", "sha256": "0" * 64, "bytes": 1, "name": None}, "blob"),
        ({"kind": "blob", "sha256": "0" * 64, "bytes": 1}, "blob"),
    ],
)
def test_what_dashboards_show_of_a_job(server: Server, audio: dict[str, object], shown: str) -> None:
    server.redis.set(f"asrq:blob:{'0' * 64}", "audio")
    submit(server, audio=audio, language="ru", task="translate")
    assert server.changed()["rq:job:job"]["description"] == f"translate {shown} (ru)"


@pytest.mark.parametrize("name", ["rq:job:job", "asrq:result:job"])
@pytest.mark.parametrize("rubbish", ["{", "7", "[]", "{}", '{"status":"lost"}', ["a list"], {"a hash": "x"}])
def test_an_id_under_which_there_is_something_else_is_taken(server: Server, name: str, rubbish: object) -> None:
    if name == "rq:job:job" and isinstance(rubbish, dict):
        rubbish = {"a list": 1.0}
    server.put({name: rubbish})
    answer = submit(server)["error"]
    assert (answer["code"], answer["message"]) == (
        "job_conflict",
        "The job id job is taken by something that is no job.",
    )
    assert server.changed() == {}


@pytest.mark.parametrize("before", ["rubbish", ["rubbish"], [{"event": "of a job that was deleted"}]])
@pytest.mark.parametrize("name", ["asrq:events:job", "asrq:events:job:new"])
def test_events_begin_anew(server: Server, name: str, before: object) -> None:
    server.put({name: before})
    assert submit(server)["created"]
    (event,) = server.changed()["asrq:events:job"]
    assert json.loads(event["event"])["type"] == "queued"
    assert not server.redis.exists("asrq:events:job:new")


def test_a_job_that_waits_takes_no_page_for_its_events(server: Server) -> None:
    submit(server)
    server.redis.xadd("plain", server.redis.xrange("asrq:events:job")[0][1])
    assert server.redis.memory_usage("asrq:events:job") < server.redis.memory_usage("plain") / 3


@pytest.mark.parametrize(("size", "taken"), [(262_144, True), (262_145, False)])
def test_a_request_has_at_most_256_kib(server: Server, size: int, taken: bool) -> None:
    padding = size - len(document(prompt=""))
    assert submit(server, prompt="x" * padding).get("created", False) == taken


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        ("60.9", 60),
        ("2147483647", 2_147_483_647),
        ("2147483648", 86_400),
        ("-1", 86_400),
        ("x", 86_400),
    ],
)
def test_a_limit_that_is_none_is_not_heeded(server: Server, limit: str, kept: int) -> None:
    blob = f"asrq:blob:{'0' * 64}"
    server.put({"asrq:limits": {"blob_ttl": limit}, blob: "audio"})
    submit(server, audio={"kind": "blob", "sha256": "0" * 64, "bytes": 1})
    assert server.redis.ttl(blob) == pytest.approx(kept, abs=5)
    uses = f"asrq:uses:{'0' * 64}"
    assert server.redis.hkeys(uses) == ["job"]
    assert server.redis.ttl(uses) == pytest.approx(kept, abs=5)


@pytest.mark.parametrize("damaged", ["asrq:limits", "rq:queues", "rq:queue:asrq-batch", f"asrq:uses:{'0' * 64}"])
def test_a_submission_that_meets_a_shared_key_of_the_wrong_type_writes_nothing(server: Server, damaged: str) -> None:
    server.put({damaged: "damaged", f"asrq:blob:{'0' * 64}": "audio"})
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        submit(server, audio={"kind": "blob", "sha256": "0" * 64, "bytes": 1})
    assert server.changed() == {}


def test_jobs_that_wait_for_a_certain_worker_fill_their_lane(server: Server) -> None:
    lists = {
        f"rq:queue:asrq-{name}": ["a", "b"] for name in ("batch", "batch@qwen", "batcher@qwen", "interactive@qwen")
    }
    server.put(lists | {"rq:queues": {*lists, "another"}} | {"asrq:limits": {"depth:batch": "5"}})
    assert submit(server)["depth"] == 5
    assert json.loads(server.changed()["asrq:events:job"][0]["event"])["depth"] == 5
    server.redis.delete("rq:job:job")
    error = submit(server)["error"]
    assert (error["code"], error["message"]) == ("queue_full", "The lane batch holds 5 jobs, its limit is 5.")


def test_parts_of_an_upload_have_digests(server: Server) -> None:
    server.put({"asrq:blob:<sha256>": "one two"})
    assert server.run("digest", 0, 2) == hashlib.sha1(b"one", usedforsecurity=False).hexdigest()
    assert server.run("digest", 4, 99) == hashlib.sha1(b"two", usedforsecurity=False).hexdigest()
    assert server.changed() == {}
