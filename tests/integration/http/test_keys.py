"""Who may come in, and what is whose."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from integration.http.asking import FILES, FORM, URL, error
from redis import Redis
from support.waiting import until

from asrq_jobs import Client, keys, listing
from asrq_jobs.errors import SettingsError, UnauthorizedError
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.states import JobState
from asrq_jobs.steps import Calls
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.http import access, quota
from asrq_worker.http.access import Holder
from asrq_worker.http.service import serving
from asrq_worker.monitor.registry import Metrics

KEYS = {"anna": "a" * 64, "boris": "b" * 64}
LIMITS = {"anna": "", "boris": "requests = 1\naudio_s = 10"}
SITE = "https://site.example"
AUDIO = PathAudio(path="/talk.mp3")


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    path = tmp_path / "keys.toml"
    path.write_text(
        "\n".join(
            f'[{name}]\nsha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\n{LIMITS[name]}'
            for name, key in KEYS.items()
        )
    )
    return settings.model_copy(update={"http_keys": path, "http_origins": (SITE,)})


As = Callable[[str], httpx.Client]


@pytest.fixture
def who(settings: Settings) -> Iterator[As]:
    """A client with the key of somebody."""
    clients: list[httpx.Client] = []
    with serving(settings, "127.0.0.1", 0) as port:

        def client(name: str) -> httpx.Client:
            bearer = {"Authorization": f"Bearer {KEYS[name]}"}
            clients.append(httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=bearer, timeout=60))
            return clients[-1]

        yield client
        for each in clients:
            each.close()


@pytest.mark.parametrize("header", [None, "", "Bearer", f"Bearer {'c' * 64}", f"Basic {KEYS['anna']}", "Bearer é"])
def test_nobody_comes_in_without_a_key(who: As, redis: Redis, header: str | None) -> None:
    http = who("anna")
    del http.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    for answer in (
        http.post(URL, data=FORM, files=FILES, headers=headers),
        http.get("/v1/models", headers=headers),
        http.get("/v1/nothing", headers=headers),
    ):
        assert error(answer, 401)["code"] == "unauthorized"
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert redis.dbsize() == 0
    assert http.get("/healthz").status_code == 200


def test_a_hundred_thousand_keys_are_refused() -> None:
    holders = [Holder(name=name, sha256=hashlib.sha256(key.encode()).hexdigest()) for name, key in KEYS.items()]
    assert access.holder(f"Bearer {KEYS['anna']}", holders).name == "anna"
    for number in range(100_000):
        with pytest.raises(UnauthorizedError):
            access.holder(f"Bearer {number:064x}", holders)


def test_many_keys_tried_cost_nothing_and_keep_nobody_out(settings: Settings, redis: Redis) -> None:
    metrics, told = Metrics(), []
    with serving(settings, "127.0.0.1", 0, metrics) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:

        def try_key(number: int) -> int:
            guess = hashlib.sha256(str(number).encode()).hexdigest()
            return http.get("/v1/jobs", headers={"Authorization": f"Bearer {guess}"}).status_code

        with ThreadPoolExecutor(8) as pool:
            for tries in (range(8), range(8, 1000)):
                guesses = pool.map(try_key, tries)
                right = http.get("/v1/jobs", headers={"Authorization": f"Bearer {KEYS['anna']}"})
                assert right.status_code == 200
                assert set(guesses) == {401}
                until(lambda tries=tries: _answered(metrics) == tries.stop + len(told) + 1)  # counted after the answer
                told.append({line.rpartition(" ")[0] for line in metrics.exposition().decode().splitlines()})
    assert told[0] == told[1], "nothing is kept of a key that was tried"
    assert redis.dbsize() == 0


def _answered(metrics: Metrics) -> float:
    lines = metrics.exposition().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("asrq_http_requests_total{"))


def test_each_key_sees_its_own_jobs(who: As, client: Client) -> None:
    anna, boris = who("anna"), who("boris")
    for name, http in (("anna", anna), ("boris", boris)):
        answer = http.post("/v1/jobs", files=FILES, headers={"Idempotency-Key": "talk"})
        assert answer.json()["id"] == f"{name}-talk"
    client.submit_file(__file__, id="direct")
    assert anna.get("/v1/jobs/anna-talk").json()["status"] == "queued"
    for method, path in (
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ):
        theirs = error(anna.request(method, f"/v1/jobs/boris-talk{path}"), 404)
        nobodys = error(anna.request(method, f"/v1/jobs/boris-none{path}"), 404)
        assert theirs["message"].replace("talk", "none") == nobodys["message"]
    assert client.state("boris-talk").status == "queued"
    assert [job["id"] for job in anna.get("/v1/jobs").json()["data"]] == ["anna-talk"]
    boris.post("/v1/jobs", files=FILES, headers={"Idempotency-Key": "secret"})
    anna.post("/v1/jobs", files=FILES, headers={"Idempotency-Key": "walk"})
    seen: list[str] = []
    page = anna.get("/v1/jobs", params={"limit": 1}).json()
    while page["next"]:
        assert "boris" not in page["next"]
        assert "direct" not in page["next"]
        seen += [job["id"] for job in page["data"]]
        page = anna.get("/v1/jobs", params={"limit": 1, "cursor": page["next"]}).json()
    assert seen == ["anna-talk", "anna-walk"]
    theirs = anna.get("/v1/jobs", params={"cursor": "batch.queued.boris-secret"})
    assert error(theirs, 400)["code"] == "invalid_request"
    long = anna.post("/v1/jobs", files=FILES, headers={"Idempotency-Key": "x" * 62})
    assert "too long" in error(long, 400)["message"]


def test_each_key_has_groups_of_its_own(who: As, client: Client) -> None:
    for name, size in (("anna", 1), ("boris", 2)):
        order = {"url": "https://host/a", "group": "night", "group_size": size}
        assert who(name).post("/v1/jobs", json=order).status_code == 202
        state = who(name).get("/v1/groups/night").json()
        assert (state["id"], state["size"]) == ("night", size)
    assert client.group("anna-night").state().size == 1
    assert who("anna").get("/v1/groups/boris-night").status_code == 404
    long = {"url": "https://host/a", "group": "x" * 64, "group_size": 1}
    assert "group.id" in error(who("anna").post("/v1/jobs", json=long), 400)["message"]


def test_no_job_of_others_is_looked_at_for_a_list(who: As, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_IDS", 4)
    for _ in client.submit_many(Request.build(id=f"boris-{number}", audio=AUDIO) for number in range(30)):
        pass
    client.submit(AUDIO, id="anna-last")
    looked: list[str] = []
    look = listing.state

    def watched(job_id: str) -> Calls[JobState]:
        looked.append(job_id)
        return look(job_id)

    monkeypatch.setattr(listing, "state", watched)
    assert [job["id"] for job in who("anna").get("/v1/jobs").json()["data"]] == ["anna-last"]
    assert looked == ["anna-last"]


def test_as_many_requests_at_a_time_as_are_allowed(who: As, scripted: ScriptedWorker) -> None:
    boris = who("boris")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(lambda: boris.post(URL, data=FORM, files=FILES))
        execution = scripted.take()
        refused = boris.get("/v1/models")
        assert error(refused, 429)["code"] == "quota_exceeded"
        assert refused.headers["Retry-After"]
        assert who("anna").get("/v1/models").status_code == 200
        scripted.complete(execution, "hello")
        assert first.result(60).status_code == 200
    assert [boris.get("/v1/models").status_code for _ in range(50)] == [200] * 50


def test_the_audio_of_a_day_is_used_up(
    who: As, redis: Redis, scripted: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(datetime):  # the clock of a gateway, which says nothing of the day
        now = None  # type: ignore[assignment]  # not to be asked

    monkeypatch.setattr(quota, "datetime", Wrong)
    boris = who("boris")

    def submit(name: str) -> httpx.Response:
        return boris.post("/v1/jobs", files=FILES, headers={"Idempotency-Key": name})

    def done(job_id: str, seconds: float) -> None:
        result = Result(id=job_id, status="completed", text="hello", duration=seconds)
        redis.set(keys.result(job_id), result.to_json())

    assert submit("one").status_code == submit("two").status_code == 202
    done("boris-one", 6.0)
    assert submit("one").status_code == submit("one").status_code == 202  # asked for again, it counts no second time
    assert submit("three").status_code == 202  # 6 of 10 s are used
    redis.delete(keys.job("boris-three"))  # it counts for nothing, and its place is not kept forever
    done("boris-two", 6.0)
    assert boris.delete("/v1/jobs/boris-two").status_code == 204  # what it cost has been counted
    assert error(submit("four"), 429)["code"] == "quota_exceeded"
    assert redis.smembers(keys.http_pending("boris")) == set()
    assert who("anna").post("/v1/jobs", files=FILES).status_code == 202


def test_what_is_run_again_is_counted(who: As, redis: Redis) -> None:
    boris = who("boris")
    for name in ("one", "two"):
        assert boris.post("/v1/jobs", files=FILES, headers={"Idempotency-Key": name}).status_code == 202
        assert boris.post(f"/v1/jobs/boris-{name}/cancel").status_code == 200
    assert boris.post("/v1/jobs", files=FILES).status_code == 202  # the canceled ones have been looked at
    assert boris.post("/v1/jobs/boris-one/retry").status_code == 202
    done = Result(id="boris-one", status="completed", text="hello", duration=12.0)
    redis.set(keys.result("boris-one"), done.to_json())
    assert error(boris.post("/v1/jobs/boris-two/retry"), 429)["code"] == "quota_exceeded"


@pytest.mark.parametrize(("origin", "allowed"), [(SITE, True), ("https://evil.example", False)])
def test_pages_of_the_sites_that_are_listed_may_call(who: As, origin: str, allowed: bool) -> None:
    http = who("anna")
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    preflight = http.options(URL, headers=asks)
    answer = http.get("/v1/models", headers={"Origin": origin})
    assert (preflight.status_code == 200, answer.status_code == 200) == (allowed, allowed)
    for each in (preflight, answer):
        assert each.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)


def test_keys_open_it_under_any_name(who: As) -> None:
    assert who("anna").get("/v1/models", headers={"Host": "asr.example"}).status_code == 200


@pytest.mark.parametrize(
    "text", ["", "sha256 = 'x'", "[anna]\nsha256 = 'abc'", "[anna-b]\nsha256 = '" + "0" * 64 + "'", "[", "\x00"]
)
def test_a_file_that_is_none_of_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match="no file of keys"):
        access.read(path)
    with pytest.raises(SettingsError, match="No such file"):
        access.read(tmp_path / "none")


def test_every_hash_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    holders = [access.Holder(name=f"k{number}", sha256=f"{number:064x}") for number in range(3)]
    compared: list[str] = []
    monkeypatch.setattr(access.hmac, "compare_digest", lambda left, right: compared.append(left) or left == right)
    digest = hashlib.sha256(b"mine").hexdigest()
    holders.insert(0, access.Holder(name="me", sha256=digest))
    assert access.holder("bearer mine", holders).name == "me"
    assert len(compared) == 4
    with pytest.raises(UnauthorizedError):
        access.holder("Bearer other", holders)
    assert len(compared) == 8


@pytest.mark.parametrize("text", ["", "x", '[anna]\nsha256 = "zz"', "[anna]\nrequests = 1", None])
def test_a_file_of_keys_that_is_none_is_said_before_anything_listens(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="keys"), serving(Settings(http_keys=path), "127.0.0.1", 0):
        pass
