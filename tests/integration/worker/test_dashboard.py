"""The dashboard over real jobs: nothing is unpickled, nothing breaks a page, nothing can lose a job."""

from __future__ import annotations

import pickle
import time
from typing import Any

import pytest
from integration.worker.host import Gate, serving, transcribed
from redis import Redis

from asrq_jobs import Client, keys
from asrq_jobs.errors import AudioUnreadableError
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.control import JobControl
from asrq_worker.dashboard import create_app
from asrq_worker.inference import Journal

AUDIO = PathAudio(path="/audio/a.wav")


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return Settings(redis_url=valkey_url, lease_s=3)


@pytest.fixture
def browser(settings: Settings) -> Any:
    return create_app(settings).test_client()


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
            client.wait(job_id, timeout_s=10)
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


def test_a_running_job_and_its_worker_show(client: Client, redis: Redis, settings: Settings, browser: Any) -> None:
    gate = Gate()
    client.submit(AUDIO, id="runs")
    with serving(redis, settings, gate):
        assert gate.inside.wait(10)
        answer = browser.get("/0/data/workers.json")
        assert answer.status_code == 200
        (worker,) = answer.json["workers"]
        assert worker["current_job"]["job_id"] == "runs"
        assert worker["current_job"]["description"] == "transcribe a.wav (auto)"
        assert browser.get("/0/data/job/runs.json").json["status"] == "started"
        gate.open.set()
        client.wait("runs", timeout_s=10)


def test_requeue_retries_as_the_command_line_does(
    client: Client, redis: Redis, settings: Settings, browser: Any
) -> None:
    client.submit(AUDIO, id="bad")
    with serving(redis, settings, _work):
        client.wait("bad", timeout_s=10)
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
