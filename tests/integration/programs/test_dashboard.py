"""The dashboard over real jobs: nothing is unpickled, nothing breaks a page, nothing can lose a job."""

from __future__ import annotations

import json
import pickle
import re
import socket
import subprocess
import time
import urllib.request
from typing import Any
from urllib.parse import quote

import pytest
from conftest import free_port
from pydantic import SecretStr
from redis import Redis
from support.host import Gate, serving, transcribed
from support.processes import PROGRAM

from asrq_jobs import Client, keys
from asrq_jobs.errors import AudioUnreadableError
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.programs.dashboard import _create_app
from asrq_worker.queue.router import pass_on
from asrq_worker.routing.offers import Need

AUDIO = PathAudio(path="/audio/a.wav")


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=valkey_url, lease_s=3)


@pytest.fixture
def browser(settings: Settings) -> Any:
    return _create_app(settings).test_client()


def _work(request: Request, control: JobControl, journal: Journal) -> Result:
    if request.id == "bad":
        raise AudioUnreadableError("Not audio.")
    return transcribed(request)


def _jobs(browser: Any, registry: str) -> dict[str, Any]:
    answer = browser.get(f"/0/data/jobs/asrq-batch/{registry}/20/asc/1.json")
    assert answer.status_code == 200
    return {job["id"]: job for job in answer.json["jobs"]}


def test_finished_failed_and_waiting_jobs_show(client: Client, redis: Redis, settings: Settings, browser: Any) -> None:
    for job_id in ("good", "bad"):
        client.submit(AUDIO, id=job_id, language="ru")
    with serving(redis, settings, _work):
        for job_id in ("good", "bad"):
            client.wait(job_id, timeout_s=120)
    client.submit(AUDIO, id="waits")
    assert browser.get("/").status_code == 200
    (queue,) = browser.get("/0/data/queues.json").json["queues"]
    counts = (queue["count"], queue["finished_job_registry_count"], queue["failed_job_registry_count"])
    assert (queue["name"], counts) == ("asrq-batch", (1, 1, 1))
    assert _jobs(browser, "queued")["waits"]["description"] == "transcribe a.wav (auto)"
    assert _jobs(browser, "finished")["good"]["description"] == "transcribe a.wav (ru)"
    assert "audio_unreadable: Not audio." in _jobs(browser, "failed")["bad"]["exc_info"]
    shown = browser.get("/0/data/job/good.json").json
    assert shown["result"]["result"] == "asrq:result:good"
    for page in ("/0/view/job/good", "/0/view/jobs", "/0/view/workers"):
        assert browser.get(page).status_code == 200


@pytest.mark.parametrize(
    "asked",
    [{"backend": "qwen"}, {"language": "ru"}, {"model": "Qwen/Qwen3 ~ASR", "prompt": "x", "hotwords": ["y"]}],
    ids=["backend", "language", "model"],
)
def test_what_waits_for_a_certain_worker_shows_as_a_queue(
    client: Client, redis: Redis, browser: Any, asked: dict[str, Any]
) -> None:
    client.submit(AUDIO, id="job", **asked)
    redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    request = Request.build(id="job", audio=AUDIO, **asked)
    pass_on(redis, request)
    assert browser.get("/").status_code == 200
    counts = {queue["name"]: queue["count"] for queue in browser.get("/0/data/queues.json").json["queues"]}
    name = f"asrq-batch@{Need.of(request)}"
    assert counts == {"asrq-batch": 0, name: 1}
    assert browser.get(f"/0/view/jobs/{quote(name)}/queued/8/asc/1").status_code == 200
    (job,) = browser.get(f"/0/data/jobs/{quote(name)}/queued/8/asc/1.json").json["jobs"]
    assert job["id"] == "job"


def test_a_running_job_and_its_worker_show(client: Client, redis: Redis, settings: Settings, browser: Any) -> None:
    gate = Gate()
    client.submit(AUDIO, id="runs", prompt="private words")
    with serving(redis, settings, gate):
        assert gate.inside.wait(60)
        answer = browser.get("/0/data/workers.json")
        assert answer.status_code == 200
        (worker,) = answer.json["workers"]
        assert worker["current_job"]["job_id"] == "runs"
        assert worker["current_job"]["description"] == "transcribe a.wav (auto)"
        assert "private words" not in answer.text
        assert browser.get("/0/data/job/runs.json").json["status"] == "started"
        gate.open.set()
        client.wait("runs", timeout_s=120)


def test_requeue_retries_as_the_command_line_does(
    client: Client, redis: Redis, settings: Settings, browser: Any
) -> None:
    client.submit(AUDIO, id="bad")
    with serving(redis, settings, _work):
        client.wait("bad", timeout_s=120)
    assert browser.post("/job/bad/requeue").json == {"status": "OK"}
    assert client.state("bad").status == "queued"
    assert client.result("bad") is None
    assert browser.get("/0/data/job/bad.json").status_code == 200
    assert browser.post("/requeue/asrq-batch").json["status"] == "OK"


def test_a_hash_that_rq_cannot_read_does_not_take_the_page_down(redis: Redis, browser: Any) -> None:
    redis.sadd(keys.RQ_QUEUES, keys.queue("batch"))
    for job_id, data in (("odd", b"[]"), ("pickled", pickle.dumps(("os.system", None, ("true",), {})))):
        redis.hset(keys.job(job_id), mapping={"data": data, "origin": "asrq-batch", "created_at": "yesterday"})
        redis.zadd(keys.registry("failed", "batch"), {job_id: time.time() + 60})
    assert {job["description"] for job in _jobs(browser, "failed").values()} == {"malformed job"}
    assert browser.get("/0/data/job/pickled.json").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        ("GET", "/requeue/asrq-batch", {}, 405),
        ("POST", "/queue/asrq-batch/compact", {}, 403),
        ("POST", "/queue/asrq-batch/queued/empty", {}, 403),
        ("POST", "/job/waits/requeue", {"Origin": "http://elsewhere.example"}, 403),
    ],
)
def test_what_could_do_harm_is_closed(
    client: Client, browser: Any, method: str, path: str, headers: dict[str, str], code: int
) -> None:
    client.submit(AUDIO, id="waits")
    assert browser.open(path, method=method, headers=headers).status_code == code
    assert client.state("waits").status == "queued"


def test_jobs_cannot_be_deleted(client: Client, browser: Any) -> None:
    client.submit(AUDIO, id="waits")
    assert browser.post("/job/waits/delete").json == {"status": "DISABLED"}
    assert client.state("waits").status == "queued"


@pytest.fixture
def guarded(settings: Settings) -> Any:
    return _create_app(settings.model_copy(update={"dashboard_password": SecretStr("pässword")})).test_client()


@pytest.mark.parametrize("path", ["/", "/0/data/queues.json", "/static/css/main.css"])
def test_a_password_is_asked_for_if_one_is_set(guarded: Any, path: str) -> None:
    for wrong in (None, ("anna", ""), ("anna", "password")):
        answer = guarded.get(path, auth=wrong)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert guarded.get(path, auth=("anna", "pässword"), base_url="http://gpu-1.example").status_code == 200


@pytest.mark.parametrize(
    ("host", "code"),
    [("127.0.0.1:9181", 200), ("localhost:9181", 200), ("[::1]:9181", 200), ("10.0.0.7", 200), ("evil.example", 403)],
)
def test_without_a_password_no_web_page_reaches_it_under_a_name_of_its_own(browser: Any, host: str, code: int) -> None:
    assert browser.get("/0/data/queues.json", base_url=f"http://{host}").status_code == code


def test_nothing_from_elsewhere_may_be_loaded_and_nobody_may_frame_it(browser: Any) -> None:
    policy = browser.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


def test_a_job_that_is_not_there_and_a_queue_that_does_not_answer_are_said_in_a_sentence(browser: Any) -> None:
    missing = browser.get("/0/view/job/nobody")
    assert (missing.status_code, missing.text[:11]) == (404, "No such job")
    nowhere = Settings(redis_url=f"redis://user:secret@127.0.0.1:{free_port()}/0", redis_timeout_s=0.5)
    away = _create_app(nowhere).test_client().get("/0/data/queues.json")
    assert away.status_code == 503
    assert "does not answer" in away.text
    assert "secret" not in away.text


@pytest.mark.usefixtures("valkey_url")
def test_it_listens_on_an_address_of_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    command = [str(PROGRAM), "dashboard", "--host", "::1", "--port", "0"]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        address = program.stdout.readline().strip()
        assert re.fullmatch(r"http://\[::1\]:\d+", address)
        taken = [*command[:-1], address.rpartition(":")[2]]
        refused = subprocess.run(taken, capture_output=True, text=True, timeout=30, check=False)
        assert f"Cannot listen on {address.removeprefix('http://')}:" in refused.stderr
        with urllib.request.urlopen(f"{address}/0/data/queues.json", timeout=10) as answer:  # noqa: S310  # our own
            assert json.load(answer) == {"queues": []}
    finally:
        program.terminate()
        program.wait(20)
