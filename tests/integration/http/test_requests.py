"""What the gateway makes of requests, good and bad, and of clients that go away."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from conftest import free_port
from integration.http.asking import FILES, FORM, URL, error
from redis import Redis
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.errors import AudioUnreadableError, EngineCrashedError
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.http.service import serving
from asrq_worker.monitor.registry import Metrics


@pytest.mark.parametrize(
    ("form", "param", "said"),
    [
        ({}, "model", "it is missing"),
        (
            {**FORM, "response_format": "diarized_json"},
            "response_format",
            "it is not 'json', 'text', 'srt', 'verbose_json' or 'vtt'",
        ),
        ({**FORM, "temperature": "2"}, "temperature", "it is more than 1.0"),
        ({**FORM, "temperature": "cold"}, "temperature", "it is no number"),
        (
            {**FORM, "timestamp_granularities[]": "phrase"},
            "timestamp_granularities[].0",
            "it is not 'segment' or 'word'",
        ),
        ({**FORM, "prompt": "x" * 4001}, "prompt", "it has more than 4000 characters"),
        ({**FORM, "stream": "perhaps"}, "stream", "it is neither true nor false"),
    ],
)
def test_a_field_that_does_not_fit_is_named(http: httpx.Client, form: dict[str, str], param: str, said: str) -> None:
    found = error(http.post(URL, data=form, files=FILES), 400)
    assert (found["type"], found["code"], found["param"]) == ("invalid_request_error", "invalid_request", param)
    assert found["message"] == f"Field {param!r}: {said}."


@pytest.mark.parametrize("path", [URL, "/v1/jobs"])
@pytest.mark.parametrize("name", ["file", "model"])
def test_what_is_given_twice_is_not_chosen_from(http: httpx.Client, redis: Redis, path: str, name: str) -> None:
    parts: list[tuple[str, Any]] = [("file", FILES["file"]), ("model", (None, "whisper-1"))]
    parts.append((name, ("other.mp3", b"other audio") if name == "file" else (None, "other")))
    assert error(http.post(path, files=parts), 400)["message"] == f"The form has {name!r} twice."
    assert redis.keys("asrq:blob:*") == []


@pytest.mark.parametrize("form", ["srt", "vtt", "verbose_json"])
def test_only_text_is_streamed(http: httpx.Client, redis: Redis, form: str) -> None:
    answer = http.post(URL, data={**FORM, "stream": "true", "response_format": form}, files=FILES)
    assert "as it comes" in error(answer, 400)["message"]
    assert redis.keys("rq:job:*") == []


@pytest.mark.parametrize(
    ("form", "files", "code"),
    [
        ({**FORM, "language": "klingon"}, FILES, "unknown_language"),
        (FORM, {"file": ("talk.mp3", b"")}, "audio_empty"),
        ({"model": "nobody's"}, FILES, "not_served"),
    ],
)
def test_what_does_not_fit_has_our_code(
    http: httpx.Client, redis: Redis, form: dict[str, str], files: dict[str, tuple[str, bytes]], code: str
) -> None:
    assert error(http.post(URL, data=form, files=files), 404 if code == "not_served" else 400)["code"] == code
    assert redis.keys("rq:job:*") == []


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/models/nothing/at/all", "/v1/audio/transcriptions"])
def test_what_is_not_there_is_told_in_the_same_shape(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert error(answer, 405 if path == URL else 404)
    assert answer.headers.get("Allow") == ("POST" if path == URL else None)


def test_text_in_place_of_a_file_is_refused_in_plain_words(http: httpx.Client) -> None:
    found = error(http.post(URL, files={"file": (None, "talk.mp3"), "model": (None, "whisper-1")}), 400)
    assert found["message"] == "Field 'file': it is no file."


def test_a_body_that_is_no_form(http: httpx.Client) -> None:
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert error(http.post(URL, content=b"--y\r\nno part", headers=broken), 400)["code"] == "invalid_request"
    assert error(http.post(URL, json=FORM), 400)["code"] == "invalid_request"


def submitted(http: httpx.Client, scripted: ScriptedWorker, lane: str, **kwargs: Any) -> tuple[httpx.Response, Any]:
    """Ask, let the job that comes of it end well, and return the answer and the job's request."""
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(lambda: http.post(URL, **{"data": FORM, "files": FILES, **kwargs}))
        execution = scripted.take(lane)
        document = scripted._redis.hget(keys.job(execution.job_id), "data")
        assert isinstance(document, bytes)
        scripted.complete(execution, "hello")
        return asking.result(60), json.loads(document)[2][0]


def test_a_request_becomes_a_job(http: httpx.Client, scripted: ScriptedWorker) -> None:
    files = {"file": ("../../etc/Речь 1.ogg", b"stands for audio")}
    form = {**FORM, "language": "RU", "prompt": "Итак,", "hotwords": "asrq, Valkey ,", "response_format": "text"}
    answer, request = submitted(
        http, scripted, "interactive", data=form, files=files, headers={"X-Request-Id": "mine.1"}
    )
    assert (answer.status_code, answer.text) == (200, "hello\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Asrq-Job"] == request["id"]
    assert answer.headers["X-Request-Id"] == "mine.1"
    assert request["audio"]["name"] == "Речь 1.ogg"
    assert (request["language"], request["prompt"], request["hotwords"]) == ("ru", "Итак,", ["asrq", "Valkey"])
    assert "model" not in request


@pytest.mark.parametrize(
    ("size", "asked", "lane"),
    [
        (1, None, "interactive"),
        (600_000, None, "batch"),
        (1, "batch", "batch"),
        (600_000, "interactive", "interactive"),
    ],
)
def test_the_lane_is_that_of_the_size_or_the_header(
    settings: Settings, scripted: ScriptedWorker, size: int, asked: str | None, lane: str
) -> None:
    changed = settings.model_copy(update={"http_interactive_mb": 0.5})
    headers = {"X-Asrq-Lane": asked} if asked else {}
    with (
        serving(changed, "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        answer, _ = submitted(http, scripted, lane, files={"file": ("a.wav", b"x" * size)}, headers=headers)
    assert answer.json() == {"text": "hello"}


def test_the_operators_names_lead_to_models(settings: Settings, scripted: ScriptedWorker) -> None:
    named = settings.model_copy(update={"http_models": ("whisper-1=large-v3",)})
    with (
        serving(named, "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        _, request = submitted(http, scripted, "interactive")
        assert request["model"] == "large-v3"
        assert http.get("/v1/models").json() == {"object": "list", "data": []}  # no worker is there that serves it


@pytest.mark.parametrize(
    ("failure", "status"), [(AudioUnreadableError("Not audio."), 400), (EngineCrashedError("Died."), 500)]
)
def test_a_job_that_fails_is_an_error(
    http: httpx.Client, scripted: ScriptedWorker, failure: AudioUnreadableError | EngineCrashedError, status: int
) -> None:
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(lambda: http.post(URL, data=FORM, files=FILES))
        scripted.fail(scripted.take(), failure)
        assert error(asking.result(60), status)["code"] == failure.code


class Leaving:
    """A client that asks and goes away before there is an answer."""

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        request = httpx.Request("POST", f"{address}{URL}", data=FORM, files=FILES, headers=headers)
        request.read()
        head = f"POST {URL} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        self._socket = socket.create_connection(("127.0.0.1", request.url.port or 0))
        self._socket.sendall(head.encode() + b"\r\n" + request.content)

    def go(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("running", [False, True])
def test_a_client_that_goes_away_cancels_its_job(
    address: str, client: Client, scripted: ScriptedWorker, redis: Redis, running: bool
) -> None:
    leaving = Leaving(address, {})
    until(lambda: redis.llen(keys.queue("interactive")))
    if running:
        execution = scripted.take()
        leaving.go()
        until(lambda: redis.exists(keys.cancel(execution.job_id)))
    else:
        (job,) = client.jobs("queued")
        leaving.go()
        until(lambda: client.state(job.id).status == "canceled")


@pytest.mark.parametrize("headers", [{"X-Asrq-Detach": "true"}, {"Idempotency-Key": "mine"}])
def test_unless_it_said_that_it_would_or_can_come_back(
    settings: Settings, client: Client, redis: Redis, headers: dict[str, str]
) -> None:
    with serving(settings, "127.0.0.1", 0) as port:
        leaving = Leaving(f"http://127.0.0.1:{port}", headers)
        until(lambda: redis.llen(keys.queue("interactive")))
        leaving.go()
        until(lambda: not [one for one in redis.client_list() if one["cmd"] == "xread"])
    (job,) = client.jobs()  # the gateway has ended, and with it whatever it had to do for those who left
    assert job.status == "queued"


def test_the_same_key_is_the_same_job(http: httpx.Client, scripted: ScriptedWorker, redis: Redis) -> None:
    key = {"Idempotency-Key": "order-66"}
    answer, _ = submitted(http, scripted, "interactive", headers=key)
    again = http.post(URL, data={**FORM, "response_format": "text"}, files=FILES, headers=key)
    assert (answer.json(), again.text) == ({"text": "hello"}, "hello\n")
    assert answer.headers["X-Asrq-Job"] == again.headers["X-Asrq-Job"] == "order-66"
    other = http.post(URL, data={**FORM, "language": "ru"}, files=FILES, headers=key)
    assert error(other, 409)["code"] == "job_conflict"
    assert error(http.post(URL, data=FORM, files=FILES, headers={"Idempotency-Key": "a b"}), 400)["param"]


def test_a_gateway_that_ends_leaves_the_job_to_the_next(settings: Settings, scripted: ScriptedWorker) -> None:
    key = {"Idempotency-Key": "again"}
    with serving(settings, "127.0.0.1", 0) as port:
        asked = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
                asked.set()
                with pytest.raises(httpx.HTTPError):
                    http.post(URL, data=FORM, files=FILES, headers=key).raise_for_status()

        asking = threading.Thread(target=ask)
        asking.start()
        execution = scripted.take()
    asking.join(60)
    assert not asking.is_alive()
    scripted.complete(execution, "hello")
    with (
        serving(settings, "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        assert http.post(URL, data=FORM, files=FILES, headers=key).json() == {"text": "hello"}


def test_a_full_lane_and_a_queue_that_is_away(http: httpx.Client, redis: Redis, settings: Settings) -> None:
    redis.hset(keys.LIMITS, "depth:interactive", 0)
    full = http.post(URL, data=FORM, files=FILES)
    assert error(full, 429)["code"] == "queue_full"
    assert int(full.headers["Retry-After"]) > 0
    assert http.get("/readyz").json() == {"ok": True}
    away = settings.model_copy(update={"redis_url": f"redis://user:secret@127.0.0.1:{free_port()}/0"})
    with (
        serving(away, "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as elsewhere,
    ):
        answer = elsewhere.post(URL, data=FORM, files=FILES)
        assert error(answer, 503)["code"] == "queue_unreachable"
        assert int(answer.headers["Retry-After"]) > 0
        assert not any(part in answer.text for part in ("secret", "user", "127.0.0.1"))
        assert error(elsewhere.get("/readyz"), 503)
        assert elsewhere.get("/healthz").json() == {"ok": True}


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_ends_at_the_limit(http: httpx.Client, redis: Redis, chunked: bool) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(3 << 20)
    content: Any = (body[at : at + 65536] for at in range(0, len(body), 65536)) if chunked else body
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = http.post(URL, content=content, headers=headers)
    assert error(answer, 413)["code"] == "audio_too_large"
    assert redis.dbsize() == 0


def raw(address: str, head: str) -> str:
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=30) as connection:
        connection.sendall(head.encode("latin-1"))
        found = b""
        while part := connection.recv(65536):
            found += part
        return found.decode()


def test_what_is_no_http_harms_nobody(address: str, http: httpx.Client) -> None:
    assert raw(address, "\x16\x03\x01 nonsense\r\n\r\n").startswith("HTTP/1.1 400")
    assert raw(address, f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {'x' * 100_000}\r\n\r\n").startswith("HTTP/1.1 4")
    odd = raw(address, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: a b\r\nConnection: close\r\n\r\n")
    assert "a b" not in odd
    assert http.get("/healthz").json() == {"ok": True}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "["}, 403),
        ({"Host": "localhost]"}, 403),
        ({"Host": "127.0.0.1", "Origin": "http://["}, 403),
    ],
)
def test_without_keys_no_web_page_of_others_gets_in(http: httpx.Client, headers: dict[str, str], status: int) -> None:
    assert http.get("/healthz", headers=headers).status_code == status


@pytest.mark.parametrize("begun", ["", 'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nabc'])
def test_an_upload_that_breaks_off_is_no_defect(
    settings: Settings, redis: Redis, caplog: pytest.LogCaptureFixture, begun: str
) -> None:
    metrics = Metrics()
    with serving(settings, "127.0.0.1", 0, metrics) as port:
        with socket.create_connection(("127.0.0.1", port)) as leaving:
            head = f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            leaving.sendall(f"{head}Content-Length: 9000\r\n\r\n--x\r\n{begun}".encode())
        until(lambda: f'asrq_http_requests_total{{route="{URL}",status="400"}} 1.0' in metrics.exposition().decode())
    assert "http.defect" not in caplog.text
    assert redis.dbsize() == 0


def test_log_lines_tell_of_requests_and_nothing_that_was_said(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    from asrq_worker.telemetry import logs

    logs.configure(settings)
    metrics = Metrics()
    with (
        serving(settings, "127.0.0.1", 0, metrics) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        http.get("/v1/secret-path?token=geheim", headers={"X-Request-Id": "r1"})
        http.get("/v1/models/geheim")
    logs.silence()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    requests = [line for line in lines if line["event"] == "http.request"]
    assert [(line["request"] == "r1", line["route"], line["status"]) for line in requests] == [
        (True, None, 404),
        (False, "/v1/models/{model:path}", 404),
    ]
    assert "geheim" not in json.dumps(lines)
    told = metrics.exposition().decode()
    assert 'asrq_http_requests_total{route="",status="404"} 1.0' in told
    assert 'asrq_http_request_seconds_count{route="/v1/models/{model:path}"} 1.0' in told
