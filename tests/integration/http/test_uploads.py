"""Uploads: streamed to the spool and from there into Redis, whatever they bring or fail to bring."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from integration.http.asking import error
from redis import Redis

from asrq_jobs import keys
from asrq_jobs.settings import Settings
from asrq_jobs.steps import StoreFile
from asrq_worker.http import connections, door

MEGABYTE = 1 << 20
LONG = os.urandom(3 * MEGABYTE + 17)
BOUNDARY = b"line"
HEAD = b'--line\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"max_audio_mb": 8, "spool_dir": tmp_path})


@pytest.mark.parametrize(
    "audio", [b"short", LONG[:MEGABYTE], LONG], ids=["short", "as much as stays in memory", "long"]
)
def test_they_arrive_whole_and_in_parts(
    http: httpx.Client, redis: Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, audio: bytes
) -> None:
    sizes: list[int] = []
    parts = StoreFile.parts

    def watched(step: StoreFile) -> Iterator[bytes]:
        for part in parts(step):
            sizes.append(len(part))
            yield part

    monkeypatch.setattr(StoreFile, "parts", watched)
    for _ in range(2):  # the second time it is there
        assert http.post("/v1/jobs", files={"file": ("a.wav", audio)}).status_code == 202
    assert redis.get(keys.blob(hashlib.sha256(audio).hexdigest())) == audio
    assert max(sizes, default=0) <= MEGABYTE + 256, "the words of the command are with it"
    assert sum(sizes) < 2 * len(audio) + 1000
    assert list(tmp_path.iterdir()) == []


def test_they_lie_in_the_spool(http: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders: list[object] = []

    def full(**options: object) -> object:
        folders.append(options["dir"])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert error(http.post("/v1/jobs", files={"file": ("a.wav", LONG)}), 503)["code"] == "no_room"
    assert folders == [str(tmp_path)]


def test_an_answer_is_sent_without_waiting_for_the_client(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body must not lie here until the client, 40 ms later, has acknowledged the head."""
    at_once: list[int] = []
    received = connections.Connection.data_received

    def looked(connection: connections.Connection, data: bytes) -> None:
        asked = connection.transport.get_extra_info("socket")
        at_once.append(asked.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        received(connection, data)

    monkeypatch.setattr(connections.Connection, "data_received", looked)
    assert http.get("/healthz").status_code == 200
    assert at_once
    assert all(at_once)


def _talk(address: str, *sent: bytes) -> bytes:
    """Send something and return the answer; whatever is not sent never comes."""
    where = urlsplit(address)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=60) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it has answered, and takes no more
            for part in sent:
                connection.sendall(part)
        answer = connection.recv(1 << 16)
        while b'"error"' not in answer and (more := connection.recv(1 << 16)):
            answer += more
        return answer


def _request(length: int, *, path: str = "/v1/jobs", more: bytes = b"") -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=line\r\n"
        b"Content-Length: %d\r\n%b\r\n" % (path.encode(), length, more)
    )


@pytest.mark.parametrize("begun", [b"", HEAD, HEAD + b"audio"], ids=["nothing", "no audio", "some audio"])
def test_one_that_stands_still_costs_its_connection(
    address: str, redis: Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, begun: bytes
) -> None:
    monkeypatch.setattr(door, "_SILENT_S", 0.2)
    answer = _talk(address, _request(1000), begun)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Nothing has come" in answer
    assert redis.dbsize() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "begun", [b"", b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "], ids=["nothing", "half"]
)
def test_a_head_that_does_not_end_costs_its_connection(
    address: str, http: httpx.Client, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.2)
    assert _talk(address, begun).startswith(b"HTTP/1.1 408 ")
    where = urlsplit(address)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=60) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        connection.sendall(begun or b"GET")  # the same connection once more
        answer = b""
        while more := connection.recv(1 << 16):
            answer += more
    assert b"HTTP/1.1 408 " in answer
    assert http.get("/healthz").status_code == 200


def test_one_that_is_announced_too_large_is_not_read(address: str) -> None:
    answer = _talk(address, _request(10 << 30))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"audio_too_large" in answer


def test_one_that_does_not_say_how_large_it_is_ends_at_the_limit(http: httpx.Client, redis: Redis) -> None:
    def endless() -> Iterator[bytes]:
        yield HEAD
        for _ in range(100):
            yield bytes(MEGABYTE)

    headers = {"Content-Type": "multipart/form-data; boundary=line"}
    try:
        answer = http.post("/v1/jobs", content=endless(), headers=headers)
    except (httpx.WriteError, httpx.RemoteProtocolError):  # the rest was not taken
        pass
    else:
        assert error(answer, 413)["code"] == "audio_too_large"
    assert redis.dbsize() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        b"--line\r\n",
        HEAD,
        HEAD + b"audio",
        b"--line\r\nContent-Disposition: form-data\r\n\r\nx\r\n--line--\r\n",
        b"--line\r\n" + b"X: y\r\n" * 1000 + b"\r\nx\r\n--line--\r\n",
        b"--line\r\nContent-Disposition: form-data; name=model\r\n\r\n" + b"x" * (2 * MEGABYTE) + b"\r\n--line--\r\n",
        (b'--line\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n' * 1001) + b"--line--\r\n",
        (b'--line\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nx\r\n' * 1001) + b"--line--\r\n",
        b"--line\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\xff\xfe\"\r\n\r\n\r\n--line--\r\n",
    ],
    ids=[
        "empty", "none", "cut", "no audio", "half of it", "no name", "many headers", "long field", "many fields",
        "many files", "no text",
    ],
)  # fmt: skip
def test_one_that_is_no_form_has_a_code(http: httpx.Client, redis: Redis, tmp_path: Path, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=line"}
    for path in ("/v1/jobs", "/v1/audio/transcriptions"):
        answer = http.post(path, content=body, headers=headers)
        assert error(answer, 400)["code"] in {"invalid_request", "audio_empty"}
    assert redis.keys("rq:job:*") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a\r\nSet-Cookie: x=y.wav", None),
        ("/", "blob"),
    ],
)
def test_a_path_in_the_name_of_a_file_leads_nowhere(http: httpx.Client, name: str, shown: str | None) -> None:
    answer = http.post("/v1/jobs", files={"file": (name, b"audio")})
    assert answer.status_code == 202
    assert "Set-Cookie" not in answer.headers
    if shown:
        state = http.get(answer.headers["Location"]).json()
        assert state["description"] == f"transcribe {shown} (auto)"


@pytest.mark.parametrize("name", ["Idempotency-Key", "X-Request-Id", "Last-Event-ID"])
@pytest.mark.parametrize(
    "injected", [b"a\r\nX-Injected: 1", b"a\nX-Injected: 1", b"a\x00b", b"\xff" * 100, b"x" * 60_000]
)
def test_no_header_is_injected(address: str, name: str, injected: bytes) -> None:
    body = HEAD + b"audio\r\n--line--\r\n"
    header = name.encode() + b": " + injected + b"\r\n"
    answer = _talk(address, _request(len(body), more=header), body)
    assert b"X-Injected" not in answer
    status = int(answer.split(b" ", 2)[1])
    assert status in {202, 400, 431}
    assert (b'"invalid_request"' in answer) == (status != 202)
