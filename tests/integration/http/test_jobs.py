"""Jobs over HTTP, for clients that do not wait."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from integration.http.asking import FILES, error
from redis import Redis
from support.waiting import until

from asrq_jobs import Client
from asrq_jobs.errors import AudioUnreadableError, JobStateError
from asrq_jobs.request import PathAudio
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.http import jobs

AUDIO = PathAudio(path="/talk.mp3")


def test_a_job_from_its_submission_to_its_result(http: httpx.Client, scripted: ScriptedWorker, client: Client) -> None:
    answer = http.post("/v1/jobs", data={"language": "ru", "word_timestamps": "true"}, files=FILES)
    assert answer.status_code == 202
    job = answer.json()
    assert (job["status"], job["created"], job["depth"]) == ("queued", True, 1)
    where = answer.headers["Location"]
    assert where == f"/v1/jobs/{job['id']}"
    state = http.get(where).json()
    assert (state["lane"], state["position"], state["description"]) == ("interactive", 1, "transcribe talk.mp3 (ru)")
    assert error(http.get(f"{where}/result"), 409)["code"] == "job_state"
    scripted.complete(scripted.take(), "Привет")
    assert http.get(f"{where}/result").json()["text"] == "Привет"
    text = http.get(f"{where}/result", params={"format": "txt"})
    assert (text.text, text.headers["Content-Type"]) == ("Привет\n", "text/plain; charset=utf-8")
    assert http.get(f"{where}/result", params={"format": "srt"}).headers["Content-Type"].startswith("application/x-sub")
    assert error(http.get(f"{where}/result", params={"format": "doc"}), 400)["param"] == "format"


def test_a_job_that_keeps_nothing_is_gone_once_its_result_was_sent(
    http: httpx.Client, scripted: ScriptedWorker, client: Client
) -> None:
    job_id = http.post("/v1/jobs", data={"keep": "nothing"}, files=FILES).json()["id"]
    scripted.complete(scripted.take(), "Привет")
    assert http.get(f"/v1/jobs/{job_id}").json()["status"] == "completed"
    assert error(http.get(f"/v1/jobs/{job_id}/result", params={"format": "doc"}), 400)["param"] == "format"
    assert http.get(f"/v1/jobs/{job_id}/result", params={"format": "txt"}).text == "Привет\n"
    until(lambda: client.result(job_id) is None)
    assert error(http.get(f"/v1/jobs/{job_id}/result"), 404)["code"] == "job_not_found"
    assert client.redis.keys(f"*{job_id}*") == []


def test_which_track_and_languages_are_heard(http: httpx.Client, scripted: ScriptedWorker) -> None:
    assert http.post("/v1/jobs", data={"track": "2", "languages": "ru, English"}, files=FILES).status_code == 202
    request = scripted.take().request
    assert (request.track, request.languages) == (2, ("ru", "en"))
    order = {"url": "https://host/a", "track": 3, "languages": ["ru"]}
    assert http.post("/v1/jobs", json=order).status_code == 202
    request = scripted.take("batch").request
    assert (request.track, request.languages) == (3, ("ru",))
    for field, wrong in (("track", True), ("track", "first"), ("speakers", True), ("languages", "Klingon")):
        answer = http.post("/v1/jobs", json={"url": "https://host/a", "diarize": True, field: wrong})
        assert answer.status_code in {400, 422}, answer.text


def test_what_is_to_be_done_with_speakers_and_the_transcript(http: httpx.Client, scripted: ScriptedWorker) -> None:
    asked = {"diarize": "true", "min_speakers": "2", "max_speakers": "3", "deliver": "s3://bucket/talk.srt"}
    assert http.post("/v1/jobs", data=asked, files=FILES).status_code == 202
    request = scripted.take().request
    assert (request.diarize, request.min_speakers, request.max_speakers) == (True, 2, 3)
    assert request.deliver == "s3://bucket/talk.srt"
    order = {"url": "https://host/a", "diarize": True, "speakers": 2, "deliver": "https://host/b", "keep": "nothing"}
    assert http.post("/v1/jobs", json=order).status_code == 202
    request = scripted.take("batch").request
    assert (request.diarize, request.speakers, request.deliver, request.keep) == (True, 2, "https://host/b", "nothing")
    alone = error(http.post("/v1/jobs", json={"url": "https://host/a", "speakers": 2}), 400)
    assert alone["message"] == "Speakers, min_speakers and max_speakers need diarize."


@pytest.mark.parametrize("where", ["/srv/talk.txt", "file:///srv/talk.txt", "simplecache::s3://bucket/a"])
def test_nothing_is_delivered_where_nobody_can_allow_it(http: httpx.Client, redis: Redis, where: str) -> None:
    order = {"url": "https://host/a", "deliver": where}
    assert error(http.post("/v1/jobs", json=order), 400)["code"] == "delivery_refused"
    assert redis.keys("rq:job:*") == []


def test_how_channels_are_heard(http: httpx.Client, scripted: ScriptedWorker) -> None:
    assert http.post("/v1/jobs", data={"channels": "separate"}, files=FILES).status_code == 202
    assert scripted.take().request.channels == "separate"
    assert error(http.post("/v1/jobs", data={"channels": "left"}, files=FILES), 400)["param"] == "channels"


def test_a_url_in_json(http: httpx.Client, client: Client) -> None:
    order = {"url": "https://host/talk.mp3", "task": "translate"}
    answer = http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "mine"})
    assert answer.headers["Location"] == "/v1/jobs/mine"
    assert client.state("mine").lane == "batch"
    assert http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "mine"}).json()["created"] is False
    other = http.post("/v1/jobs", json={**order, "language": "ru"}, headers={"Idempotency-Key": "mine"})
    assert error(other, 409)["code"] == "job_conflict"


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"url": "https://host/a", "metadata": {"order": "4711"}, "tags": ["night", "late"]}},
        {"data": {"metadata": '{"order": "4711"}', "tags": "night, late,"}, "files": FILES},
    ],
    ids=["json", "form"],
)
def test_what_a_client_says_for_itself_comes_back_and_finds_the_job(
    http: httpx.Client, client: Client, body: dict[str, Any]
) -> None:
    client.submit(AUDIO, id="other", tags=["day"])
    job_id = http.post("/v1/jobs", **body).json()["id"]
    assert http.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "canceled"
    for document in (http.get(f"/v1/jobs/{job_id}").json(), http.get(f"/v1/jobs/{job_id}/result").json()):
        assert (document["metadata"], document["tags"]) == ({"order": "4711"}, ["night", "late"])
    assert [job["id"] for job in http.get("/v1/jobs", params={"tag": "night"}).json()["data"]] == [job_id]


def test_a_group_and_how_far_it_is(http: httpx.Client, client: Client) -> None:
    group = {"group": "night", "group_size": 2}
    job_id = http.post("/v1/jobs", json={"url": "https://host/a", **group}).json()["id"]
    assert http.post("/v1/jobs", data=group, files=FILES).status_code == 202
    assert http.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "canceled"
    state = http.get("/v1/groups/night").json()
    assert state == client.group("night").state().model_dump(mode="json")
    assert (state["schema"], state["size"], state["open"], state["canceled"]) == ("asrq.group/1", 2, 1, 1)
    assert error(http.post("/v1/jobs", json={"url": "https://host/a", **group}), 409)["code"] == "job_conflict"
    alone = error(http.post("/v1/jobs", json={"url": "https://host/a", "group": "night"}), 400)
    assert alone["message"] == "A group needs its size, and a size its group."
    assert error(http.get("/v1/groups/day"), 404)["code"] == "job_not_found"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"json": {"url": "https://host/a", "group": "last night", "group_size": 2}}, "group"),
        ({"json": {"url": "https://host/a", "group": "night", "group_size": True}}, "group_size"),
        ({"json": {"url": "https://host/a", "path": "/etc/passwd"}}, "path"),
        ({"json": {"task": "sing"}}, "task"),
        ({"json": {"url": "https://host/a", "tags": ["a,b"]}}, "tags.0"),
        ({"json": {"url": "https://host/a", "metadata": {"order": 1}}}, "metadata.order"),
        ({"json": {"url": "https://host/a", "diarize": True, "speakers": 21}}, "speakers"),
        ({"json": {"url": "https://host/a", "keep": "all"}}, "keep"),
        ({"data": {"metadata": "order=1"}, "files": FILES}, "metadata"),
        ({"json": []}, "body"),
        ({"json": {}}, None),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, None),
        ({"data": {"url": "https://host/a"}, "files": FILES}, None),
        ({"files": {"audio": ("a", b"x")}}, "audio"),
        ({"content": b"x"}, None),
        ({"json": {"url": "https://host/a", "language": "klingon"}}, None),
    ],
)
def test_an_order_that_does_not_fit(http: httpx.Client, redis: Redis, body: dict[str, object], param: str) -> None:
    assert error(http.post("/v1/jobs", **body), 400)["param"] == param  # type: ignore[arg-type]
    assert redis.keys("rq:job:*") == []


def test_cancel_and_retry(http: httpx.Client, client: Client, scripted: ScriptedWorker) -> None:
    client.submit(AUDIO, id="job", lane="interactive")
    assert http.post("/v1/jobs/job/cancel").json() == {"id": "job", "status": "canceled"}
    assert error(http.post("/v1/jobs/job/cancel"), 409)["code"] == "job_state"
    retried = http.post("/v1/jobs/job/retry")
    assert (retried.status_code, retried.json()["status"]) == (202, "queued")
    scripted.fail(scripted.take(), AudioUnreadableError("This is no audio."))
    assert http.get("/v1/jobs/job/result").json()["error"]["code"] == "audio_unreadable"
    assert error(http.get("/v1/jobs/job/result", params={"format": "txt"}), 400)["code"] == "audio_unreadable"
    for path in ("", "/result", "/events"):
        assert error(http.get(f"/v1/jobs/nobody{path}"), 404)["code"] == "job_not_found"
    assert error(http.post("/v1/jobs/nobody/cancel"), 404)


def test_a_job_is_erased(http: httpx.Client, redis: Redis, scripted: ScriptedWorker) -> None:
    answer = http.post("/v1/jobs", files=FILES, headers={"Idempotency-Key": "mine"})
    assert answer.status_code == 202
    execution = scripted.take()
    erased = http.delete("/v1/jobs/mine")
    assert (erased.status_code, erased.content) == (204, b"")
    assert not [key for key in redis.scan_iter() if b"mine" in key or b"asrq:blob" in key]
    with pytest.raises(JobStateError):
        scripted.complete(execution, "too late")
    assert error(http.delete("/v1/jobs/mine"), 404)["code"] == "job_not_found"


@pytest.mark.parametrize(
    "url", ["/srv/talk.mp3", "talk.mp3", "file:///etc/passwd", "FILE:///etc/passwd", "simplecache::s3://bucket/a"]
)
def test_a_url_that_nobody_can_allow_is_refused_at_once(http: httpx.Client, redis: Redis, url: str) -> None:
    assert error(http.post("/v1/jobs", json={"url": url}), 400)["code"] == "url_not_allowed"
    assert redis.keys("rq:job:*") == []


def test_a_url_that_a_worker_may_fetch_is_a_job(http: httpx.Client) -> None:
    for url in ("https://[2001:db8::1]/a.mp3", "s3://bucket/talk.mp3"):
        assert http.post("/v1/jobs", json={"url": url}).status_code == 202


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/v1/jobs/"), ("GET", "/v1/jobs/"), ("GET", "/v1/models/")])
def test_a_path_that_ends_in_nothing_leads_nowhere(http: httpx.Client, method: str, path: str) -> None:
    assert error(http.request(method, path), 404)


def test_a_page_looks_at_so_many_jobs_for_a_tag_and_no_more(
    http: httpx.Client, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_PAGE", 2)
    monkeypatch.setattr(jobs, "_LOOKS", 3)
    for number in range(8):
        client.submit(AUDIO, id=f"job{number}", tags=("late",) if number > 5 else ())
    pages: list[list[str]] = []
    cursor: dict[str, str] = {}
    while not pages or cursor:
        page = http.get("/v1/jobs", params={"tag": "late", **cursor}).json()
        pages.append([job["id"] for job in page["data"]])
        cursor = {"cursor": page["next"]} if page["next"] else {}
    assert pages == [[], [], ["job6", "job7"]]


def test_pages_of_jobs(http: httpx.Client, client: Client, scripted: ScriptedWorker) -> None:
    for number in range(5):
        client.submit(AUDIO, id=f"b{number}")
    client.submit(AUDIO, id="i", lane="interactive")
    client.submit(AUDIO, id="done", lane="batch")
    client.cancel("done")
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = http.get("/v1/jobs", params={"limit": 2, **cursor}).json()
        seen += [job["id"] for job in page["data"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == ["i", "b0", "b1", "b2", "b3", "b4", "done"]
    assert [job["id"] for job in http.get("/v1/jobs", params={"state": "canceled"}).json()["data"]] == ["done"]
    odd = http.get("/v1/jobs", params={"state": "canceled", "cursor": "batch.queued.b1"})
    assert error(odd, 400)["code"] == "invalid_request"
    assert error(http.get("/v1/jobs", params={"limit": 0}), 400)["param"] == "limit"
