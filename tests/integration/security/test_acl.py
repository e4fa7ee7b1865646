"""The users of ops/redis/users.acl.example on real servers: all that each needs works, and nothing else does."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from conftest import REPO
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError
from support.host import Gate, serving, transcribed
from support.ledger import contradictions
from support.needs import missing
from support.processes import worker
from support.server import Server, redis_server, valkey
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.connection import connect
from asrq_jobs.errors import AudioUnreadableError, QueueAuthError, QueueRefusedError
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.doctor import queue
from asrq_worker.http import service as http
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.queue import functions
from asrq_worker.reaper.reaper import Reaper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no server for this platform")

USERS = (REPO / "ops/redis/users.acl.example").read_text(encoding="utf-8")
ADMIN = "user admin on nopass allkeys allchannels allcommands\n"

Command = tuple[str | int, ...]
Denied = tuple[str, str, str]
"""Who, why and what."""


@pytest.fixture(scope="module", params=[valkey, redis_server], ids=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the users of the example, and one more for the test itself."""
    binary = request.param()
    if binary is None:
        missing(request.param.__name__)
    folder = tmp_path_factory.mktemp("server")
    users = re.sub(r">([A-Z]+)_PASSWORD", lambda found: f">{_password(found[1].lower())}", USERS)
    (folder / "users.acl").write_text(users + ADMIN, encoding="utf-8")
    running = Server(binary, folder, aclfile=str(folder / "users.acl"))
    with running:
        yield running


@pytest.fixture
def denied(server: Server) -> Iterator[Callable[[], list[Denied]]]:
    """Tells what the server has denied anybody since the test began, on a server with a worker's functions alone."""
    with Redis.from_url(_url(server, "admin")) as admin, Redis.from_url(_url(server, "worker")) as worker:
        admin.flushall()
        admin.function_flush()
        assert functions.publish(worker, replace=True)
        admin.acl_log_reset()
        yield lambda: [(entry["username"], entry["reason"], entry["object"]) for entry in admin.acl_log()]


def _password(user: str) -> str:
    return f"{user}-of-the-test"


def _url(server: Server, user: str) -> str:
    return server.url.replace("//", f"//{user}:{_password(user)}@")


def test_every_user_of_the_example_has_a_password_to_be_replaced() -> None:
    named = {line.split()[1]: line for line in USERS.splitlines()}
    assert named.pop("default").split() == ["user", "default", "off"]
    assert list(named) == ["client", "worker", "reaper", "dashboard"]
    for user, line in named.items():
        assert f" >{user.upper()}_PASSWORD " in line
        assert "nopass" not in line


def test_a_job_from_its_submission_to_its_end(
    server: Server, denied: Callable[[], list[Denied]], data: Path, tmp_path: Path
) -> None:
    settings = Settings(redis_url=_url(server, "client"))
    gate = tmp_path / "gate"
    with (
        Client(settings) as client,
        worker(_url(server, "worker"), lanes="batch:1,interactive:1", lease_s=3) as running,
        connect(Settings(redis_url=_url(server, "reaper"))) as reapers,
    ):
        reaper = Reaper(reapers, Settings(reaper_interval_s=0.1, lease_s=3))
        reaper.start()
        try:
            blob = client.upload(data / "hello-en.flac")
            assert client.upload(data / "hello-en.flac") == blob
            group = {"group": {"id": "all", "size": 3, "webhook": None}}
            client.submit(blob, id="good", lane="interactive", **group)
            client.submit(blob, id="fails", prompt="fail", retries=1)
            assert client.wait("good", timeout_s=50).status == "completed"
            assert client.wait("fails", timeout_s=50).status == "failed"
            client.submit(blob, id="runs", prompt=f"until:{gate}")
            client.submit(blob, id="waits", **group)
            for event in client.events("runs", timeout_s=30):
                if event.type == "started":
                    break
            assert client.cancel("waits") == "canceled"
            assert client.cancel("runs") == "requested"
            gate.touch()
            client.wait("runs", timeout_s=50)
            client.retry("waits")
            assert client.wait("waits", timeout_s=50).status == "completed"
            assert {state.id for state in client.jobs()} == {"good", "fails", "runs", "waits"}
            assert [letter.id for letter in client.dead_letters()] == ["fails"]
            client.retry("fails")
            assert client.wait("fails", timeout_s=50).status == "failed"
            client.purge("fails")
            assert client.result("fails") is None
            client.submit(blob, id="erased", prompt=f"until:{tmp_path / 'never'}", **group)
            for event in client.events("erased", timeout_s=30):
                if event.type == "started":
                    break
            for job_id in ("erased", "runs", "waits"):
                client.erase(job_id)
            assert client.group("all").wait(timeout_s=10).canceled == 1
            assert client.group("all").jobs() == {"good": "completed", "waits": "completed", "erased": "canceled"}
            assert {state.id for state in client.jobs()} == {"good"}
            assert len(client.workers()) == 1
        finally:
            reaper.close()
        assert running.end() == 0
        assert contradictions(client, "good") == []
    assert denied() == []


def test_the_gateway_may_look_at_the_queue(server: Server, denied: Callable[[], list[Denied]]) -> None:
    with http.serving(Settings(redis_url=_url(server, "client")), "127.0.0.1", 0) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/v1/queue").json()["workers"] == 0
    assert denied() == []


def test_the_gateway_counts_what_a_key_has_used(
    server: Server, denied: Callable[[], list[Denied]], tmp_path: Path
) -> None:
    digest = hashlib.sha256(b"key").hexdigest()
    (tmp_path / "keys.toml").write_text(f'[anna]\nsha256 = "{digest}"\naudio_s = 10\n')
    settings = Settings(redis_url=_url(server, "client"), http_keys=tmp_path / "keys.toml")
    with (
        http.serving(settings, "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", headers={"Authorization": "Bearer key"}) as anna,
        Redis.from_url(_url(server, "admin")) as admin,
    ):
        order = {"url": "https://host/talk.mp3"}
        assert anna.post("/jobs", json=order, headers={"Idempotency-Key": "one"}).status_code == 202
        done = Result(id="anna-one", status="completed", text="hello", duration=12.0)
        admin.set(keys.result("anna-one"), done.to_json())
        assert anna.delete("/jobs/anna-one").status_code == 204
        assert anna.post("/jobs", json=order).status_code == 429
    assert denied() == []


def test_the_reaper_may_move_a_wrong_type(server: Server, denied: Callable[[], list[Denied]]) -> None:
    with Redis.from_url(_url(server, "admin")) as admin, connect(Settings(redis_url=_url(server, "reaper"))) as redis:
        admin.set(keys.LEASES, "rubbish")
        assert Reaper(redis, Settings()).run_once().damaged == (keys.LEASES,)
        assert admin.get(keys.aside(keys.LEASES)) == b"rubbish"
    assert denied() == []


def test_a_worker_may_erase_what_it_has_delivered(server: Server, denied: Callable[[], list[Denied]]) -> None:
    settings = Settings(redis_url=_url(server, "worker"), deliver_schemes=("memory",))
    with Client(Settings(redis_url=_url(server, "client"))) as client, connect(settings) as redis:
        client.submit(PathAudio(path="/a.wav"), id="job", deliver="memory://delivered/a.txt", keep="nothing")
        with serving(redis, settings, lambda request, _control, _journal: transcribed(request)):
            until(lambda: not redis.exists(keys.job("job")))
    assert denied() == []


def test_the_dashboard_shows_and_retries(server: Server, denied: Callable[[], list[Denied]]) -> None:
    pytest.importorskip("rq_dashboard")
    from asrq_worker.programs.dashboard import _create_app

    gate = Gate()

    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        if request.id == "bad":
            raise AudioUnreadableError("Not audio.")
        return gate(request, control, journal)

    settings = Settings(redis_url=_url(server, "worker"))
    app = _create_app(Settings(redis_url=_url(server, "dashboard"))).test_client()
    with Client(Settings(redis_url=_url(server, "client"))) as client, connect(settings) as redis:
        client.submit(PathAudio(path="/bad.wav"), id="bad", lane="batch", group={"id": "night", "size": 2})
        with serving(redis, settings, work):
            assert client.wait("bad", timeout_s=50).status == "failed"
            client.submit(PathAudio(path="/good.wav"), id="good", lane="batch")
            assert gate.inside.wait(30)
            # One that ended without a word, of which RQ's own list of the worker is rid on the way.
            redis.sadd(keys.rq_worker_executions("host.batch.1"), "good:forgotten")
            (worker,) = app.get("/0/data/workers.json").json["workers"]  # type: ignore[index]  # it is an object
            assert worker["current_job"]["job_id"] == "good"
            queues = [f"/0/data/jobs/asrq-batch/{kind}/20/asc/1.json" for kind in ("queued", "started", "failed")]
            for page in ("/", "/0/data/queues.json", *queues, "/0/view/workers", "/0/data/job/good.json"):
                assert app.get(page).status_code == 200, page
            gate.open.set()
            client.wait("good", timeout_s=50)
        assert app.post("/job/bad/requeue").status_code == 200
        assert client.state("bad").status == "queued"
        assert redis.smembers(keys.rq_worker_executions("host.batch.1")) == set()
    assert denied() == []


@pytest.mark.parametrize("binary", [valkey, redis_server], ids=["valkey", "redis"])
def test_the_whole_configuration_is_one_for_a_real_server(binary: Callable[[], str | None], tmp_path: Path) -> None:
    """With folders, port and passwords of the test, and otherwise as it is."""
    program = binary()
    if program is None:
        missing(binary.__name__)
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "users.acl").write_text(USERS + ADMIN, encoding="utf-8")
    server = Server(program, folder)  # for a free port
    text = (REPO / "ops/redis/redis.conf").read_text(encoding="utf-8")
    for line, own in {
        "dir /var/lib/redis": f"dir {folder}",
        "aclfile /etc/redis/users.acl": f"aclfile {tmp_path / 'users.acl'}",
        "port 6379": f"port {server.port}",
    }.items():
        assert f"\n{line}\n" in text
        text = text.replace(f"\n{line}\n", f"\n{own}\n")
    (tmp_path / "redis.conf").write_text(text, encoding="utf-8")
    running = subprocess.Popen([program, tmp_path / "redis.conf"], stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        with connect(Settings(redis_url=_url(server, "admin")), retry_s=20) as redis:
            wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
            assert wanted.items() <= redis.config_get("*").items()
        assert (folder / "appendonlydir").is_dir()
    finally:
        running.terminate()
        running.wait(10)


@pytest.mark.parametrize(("user", "known"), [("worker", True), ("client", False)])
def test_the_doctor_says_what_it_may_not_see(server: Server, user: str, known: bool) -> None:
    found = {check.name: check for check in queue.examine(Settings(redis_url=_url(server, user)))}
    if known:
        assert found["redis"].status == found["persistence"].status == found["eviction"].status == "ok"
    else:
        assert found["redis"].status == "warn"
        assert "INFO" in (found["redis"].fix or "")


DANGEROUS: list[Command] = [
    ("FLUSHALL",), ("FLUSHDB",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "dir", "/"),
    ("SCRIPT", "FLUSH"), ("DEBUG", "SLEEP", 0), ("SHUTDOWN",), ("SAVE",), ("BGREWRITEAOF",), ("MONITOR",),
    ("ACL", "LIST"), ("ACL", "SETUSER", "client", "allkeys"), ("CLIENT", "LIST"), ("CLIENT", "KILL", "TYPE", "normal"),
    ("SWAPDB", 0, 1), ("REPLICAOF", "127.0.0.1", 1), ("MODULE", "LIST"), ("SLOWLOG", "GET"),
    ("RENAME", "asrq:stats", "x"), ("SET", "other", "1"), ("GET", "other"), ("PUBLISH", "other", "1"),
    ("EVAL", "return redis.call('set', KEYS[1], '1')", 1, "other"), ("EVAL", "return redis.call('flushall')", 0),
    ("EVAL", "return redis.call('get', 'other')", 0), ("FUNCTION", "FLUSH"), ("FUNCTION", "DELETE", "asrq"),
    ("FUNCTION", "KILL"), ("SCRIPT", "KILL"),
]  # fmt: skip

LOADING: list[Command] = [
    ("FUNCTION", "LOAD", "REPLACE", "#!lua name=asrq\nredis.register_function('asrq_submit', function() end)"),
    ("FUNCTION", "RESTORE", "x"), ("EVAL", "return 1", 0), ("EVAL_RO", "return 1", 0), ("EVALSHA", "0" * 40, 0),
    ("SCRIPT", "LOAD", "return 1"),
]  # fmt: skip
"""An endless script that has written hangs a server for good."""

WRITES: list[Command] = [
    ("SET", "{}"), ("SETEX", 9, "{}"), ("GETSET", "{}"), ("APPEND", "{}"), ("SETRANGE", 0, "{}"), ("INCR",),
    ("HSET", "f", "v"), ("RPUSH", "v"), ("LSET", 0, "v"), ("SADD", "v"), ("ZADD", 1, "v"), ("XADD", "*", "f", "v"),
    ("RESTORE", 0, "x"), ("XTRIM", "MAXLEN", 0),
]  # fmt: skip
"""Every kind of command that could put text under a key; the key comes second."""

OF_WORKERS = [
    keys.result("x"), keys.rq_results("x"), keys.chunks("x"), keys.attempts("x"), keys.LEASES, keys.WORKERS,
    keys.LIMITS, keys.POLICY, keys.POLICY_LOG, keys.LEADER, keys.CANCELED, keys.command("x"), keys.RQ_WORKERS,
    keys.WEBHOOKS, keys.cache("x"),
    *(keys.registry(kind, "batch") for kind in ("wip", "finished", "failed")),
]  # fmt: skip

CLIENT_ALONE: list[Command] = [
    *((write[0], key, *write[1:]) for key in OF_WORKERS for write in WRITES),
    *(("COPY", source, keys.result("x")) for source in (keys.blob("x"), keys.events("x"), keys.job("x"))),
    ("COPY", keys.result("y"), keys.result("x")), ("RENAME", keys.blob("x"), keys.result("x")),
    ("COPY", keys.CANCELED, keys.blob("x")), ("DEL", keys.LEASES), ("ZREM", keys.WEBHOOKS, "x"),
    ("DEL", keys.LIMITS), ("EXPIRE", keys.LIMITS, 1), ("DEL", keys.queue("batch")),
    ("SET", keys.job("x"), "{}"), ("SREM", keys.RQ_QUEUES, "x"), ("XTRIM", keys.events("x"), "MAXLEN", 0),
    ("HGETALL", keys.aside("x")), ("ZRANGE", keys.WEBHOOKS, 0, -1), ("XRANGE", keys.SHADOW, "-", "+"),
    ("HGETALL", keys.chunks("x")), ("SUBSCRIBE", keys.CONTROL), ("SCAN", 0), ("INFO",),
    ("BLMOVE", keys.queue("batch"), keys.queue("batch"), "LEFT", "RIGHT", 0),
]  # fmt: skip


@pytest.mark.parametrize("user", ["client", "worker", "reaper", "dashboard"])
def test_nothing_else(server: Server, user: str) -> None:
    tried = (
        DANGEROUS + (LOADING if user in {"client", "dashboard"} else []) + (CLIENT_ALONE if user == "client" else [])
    )
    with Redis.from_url(_url(server, user), retry=None) as redis:
        assert [command for command in tried if not _refused(redis, command)] == []


def _refused(redis: Redis, command: Command) -> bool:
    try:
        redis.execute_command(*command)
    except NoPermissionError:
        return True
    except ResponseError as error:
        # A script is told by its error, and DEBUG is refused to everybody before rights are looked at.
        return bool(re.search("not allowed|can't run this command|can't access|ACL failure", str(error)))
    return False


def test_a_function_does_no_more_than_who_calls_it(server: Server, denied: Callable[[], list[Denied]]) -> None:
    """Called by hand, with keys and words of the attacker's choice."""
    with Redis.from_url(_url(server, "worker")) as worker:
        functions.publish(worker, replace=True)
        worker.set(keys.result("theirs"), "text")
        worker.set(keys.CANCELED, "nobody's")
        worker.hset(keys.LIMITS, "depth:batch", 9)
    lane = [keys.registry(kind, "batch") for kind in ("scheduled", "canceled")]
    settings = Settings(redis_url=_url(server, "client"))
    with Client(settings) as client, Redis.from_url(_url(server, "client")) as redis:
        client.submit(client.upload(b"audio"), id="mine")
        named = [keys.job("mine"), keys.queue("batch"), *lane, keys.cancel("mine"), keys.events("mine")]
        named += [keys.result("theirs"), keys.STATS, keys.attempts("mine"), keys.chunks("mine")]
        assert redis.fcall("asrq_cancel", len(named), *named, "mine", "forged", "{}", 100, 100) == b"canceled"
        assert redis.get(keys.result("theirs")) == b"text"
        with pytest.raises(ResponseError, match=r"can't access|No permissions"):
            redis.fcall("asrq_purge", 7, keys.job("none"), keys.WEBHOOKS, *[keys.LIMITS] * 5, "x")
        assert redis.hgetall(keys.LIMITS) == {b"depth:batch": b"9"}
    assert denied() != [], "the server keeps a list of what it refused"


def test_a_client_without_functions_is_told_what_to_do(server: Server, denied: Callable[[], list[Denied]]) -> None:
    with Redis.from_url(_url(server, "admin")) as admin:
        admin.function_flush()
    with Client(Settings(redis_url=_url(server, "client"))) as client:
        blob = client.upload(b"audio")
        with pytest.raises(QueueRefusedError) as caught:
            client.submit(blob)
    assert "does not have the functions of asrq" in caught.value.message
    assert "Start a worker" in (caught.value.hint or "")
    with Redis.from_url(_url(server, "reaper")) as redis:
        Reaper(redis, Settings()).run_once()
    with Client(Settings(redis_url=_url(server, "client"))) as client:
        assert client.submit(blob).created
    assert {user for user, _, _ in denied()} == {"client"}, "which had tried to send a script"


def test_the_line_for_servers_before_7(server: Server, denied: Callable[[], list[Denied]]) -> None:
    """It stands in the documentation; without functions its user goes the older way."""
    page = (REPO / "docs/how-to/secure-redis.md").read_text(encoding="utf-8")
    [rights] = [line.split()[2:] for line in page.splitlines() if line.startswith("user client ")]
    assert not any("%" in right or "(" in right for right in rights)
    with Redis.from_url(_url(server, "admin")) as admin:
        admin.function_flush()
        admin.execute_command("ACL", "SETUSER", "older", *rights)
        login = server.url.replace("//", "//older:CLIENT_PASSWORD@")
        try:
            with Client(Settings(redis_url=login)) as client:
                client.submit(client.upload(b"audio"), id="job", group={"id": "night", "size": 1})
                assert client.upload(b"audio")
                assert client.cancel("job") == "canceled"
                assert client.wait("job", timeout_s=120).id == "job"
                assert client.group("night").state().ended
                client.retry("job")
                assert [state.status for state in client.jobs()] == ["queued"]
                assert (client.workers(), client.reaper(), client.dead_letters()) == ({}, False, [])
        finally:
            admin.acl_deluser("older")
    assert {what for _, _, what in denied()} == {"fcall"}, "an older server has no such command"


def test_a_missing_right_is_said_with_the_page_that_helps(server: Server) -> None:
    settings = Settings(redis_url=_url(server, "dashboard"))
    with Client(settings) as client, pytest.raises(QueueAuthError) as raised:
        client.upload(b"audio")
    assert "secure-redis.md" in (raised.value.hint or "")
    assert _password("dashboard") not in raised.value.message
