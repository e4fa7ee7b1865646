"""Transcripts that are put where their jobs say, by slots on a real queue, to a server and to a store."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

import fsspec
import pytest
from pydantic import SecretStr
from support.host import serving, transcribed
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.cli import main
from asrq_jobs.errors import DeliveryRefusedError
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.webhook import Delivery
from asrq_worker.job import delivery
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal

TALK = PathAudio(path="/talk.wav")


class Receiver(ThreadingHTTPServer):
    """Keeps what is put, and answers with these statuses, then with 200; `hold` keeps all waiting."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Put)
        self.got: list[tuple[str, bytes]] = []
        self.statuses: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        self.came = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Put(BaseHTTPRequestHandler):
    server: Receiver

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] is None, "presigned URLs may have signed another one"
        self.server.came.set()
        self.server.hold.wait(60)
        self.server.got.append((self.path, body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.hold.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(client: Client) -> Settings:
    return client.settings.model_copy(
        update={"deliver_schemes": ("http", "memory"), "url_private_hosts": True, "retry_delay_s": 0.01}
    )


class Work:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self, request: Request, _control: JobControl, _journal: Journal) -> Result:
        self.times += 1
        return transcribed(request, text="said so")


def ended(client: Client, settings: Settings, work: Work, address: str) -> Result:
    with serving(client.redis, settings, work):
        job = client.submit(TALK, deliver=address, retries=0)
        return client.wait(job.id, timeout_s=50)


def test_a_transcript_is_there_when_its_job_has_completed(
    client: Client, settings: Settings, receiver: Receiver
) -> None:
    receiver.hold.clear()
    with serving(client.redis, settings, Work()):
        job = client.submit(TALK, deliver=f"{receiver.url}/a/talk.json?signature=%2Fx")
        assert receiver.came.wait(50)
        assert client.state(job.id).status == "processing"
        receiver.hold.set()
        result = client.wait(job.id, timeout_s=50)
    ((path, body),) = receiver.got
    assert path == "/a/talk.json?signature=%2Fx"
    assert Result.model_validate_json(body) == result


def test_a_store_takes_it_in_the_format_of_its_ending(client: Client, settings: Settings) -> None:
    name = f"bucket-{uuid.uuid4().hex}"
    assert ended(client, settings, Work(), f"memory://{name}/talk.txt").status == "completed"
    store = fsspec.filesystem("memory")
    assert store.cat(f"/{name}/talk.txt") == b"said so\n"
    store.rm(f"/{name}", recursive=True)


def test_what_may_pass_is_tried_again(client: Client, settings: Settings, receiver: Receiver) -> None:
    receiver.statuses = [503]
    with serving(client.redis, settings, Work()):
        job = client.submit(TALK, deliver=f"{receiver.url}/talk.srt", retries=1)
        retrying = next(event for event in client.events(job.id, timeout_s=50) if event.type == "retrying")
    assert retrying.error is not None
    assert (retrying.error.code, retrying.error.stage) == ("delivery_failed", "commit")


@pytest.mark.parametrize(
    ("status", "code"), [(503, "delivery_failed"), (403, "delivery_refused"), (302, "delivery_refused")]
)
def test_a_job_that_fails_of_it_has_its_text(
    client: Client, settings: Settings, receiver: Receiver, status: int, code: str
) -> None:
    receiver.statuses = [status]
    result = ended(client, settings, Work(), f"{receiver.url}/talk.txt")
    assert result.error is not None
    assert (result.status, result.error.code, result.text) == ("failed", code, "said so")


def test_a_job_that_is_to_keep_nothing_stays_if_its_text_was_not_delivered(
    client: Client, settings: Settings, receiver: Receiver
) -> None:
    receiver.statuses = [403]
    with serving(client.redis, settings, Work()):
        job = client.submit(TALK, deliver=f"{receiver.url}/talk.txt", keep="nothing")
        assert client.wait(job.id, timeout_s=50).text == "said so"
    assert main(["wait", job.id]) == 1
    assert main(["result", job.id]) == 1
    found = client.result(job.id)
    assert found is not None
    assert found.text == "said so"


def test_a_job_that_is_to_keep_nothing_is_erased_once_its_text_was_delivered(
    client: Client, settings: Settings, receiver: Receiver
) -> None:
    settings = settings.model_copy(update={"webhook_secret": SecretStr("secret")})
    blob = client.upload(b"sound", name="anna.wav")
    with serving(client.redis, settings, Work()):
        job = client.submit(
            blob, deliver=f"{receiver.url}/talk.txt", keep="nothing", webhook="http://a/", tags=["night"], prompt="Anna"
        )
        events = [event.type for event in client.events(job.id, timeout_s=50)]
        until(lambda: not client.redis.exists(keys.job(job.id)))
    assert events[-1] == "completed"
    assert receiver.got == [("/talk.txt", b"said so\n")]
    told = client.result(job.id, peek=True)
    assert told is not None
    assert (told.status, told.text, told.segments, told.audio, told.tags) == ("completed", None, None, None, ("night",))
    assert told.warnings == ("delivered",)
    assert client.state(job.id).status == "completed"
    assert cast("int", client.redis.ttl(keys.result(job.id))) <= 60
    left = [key for key in client.redis.scan_iter() if job.id.encode() in key or blob.sha256.encode() in key]
    assert left == [keys.result(job.id).encode()]
    [raw] = cast("list[bytes]", client.redis.zrange(keys.WEBHOOKS, 0, -1))
    assert Delivery.model_validate_json(raw).payload.tags == ("night",)
    assert client.wait(job.id) == told
    assert client.result(job.id) is None


def test_a_time_limit_that_passes_meanwhile_does_not_lose_the_text(
    client: Client, settings: Settings, receiver: Receiver
) -> None:
    receiver.hold.clear()

    def work(request: Request, control: JobControl, _journal: Journal) -> Result:
        control.limit(0.0)
        return transcribed(request, text="said so")

    with serving(client.redis, settings, work):
        result = client.wait(client.submit(TALK, deliver=receiver.url).id, timeout_s=50)
    assert result.error is not None
    assert (result.status, result.error.code, result.text) == ("failed", "deadline_exceeded", "said so")


def test_what_nobody_allows_is_refused_before_anything_is_heard(client: Client, settings: Settings) -> None:
    work = Work()
    for address in ("ftp://host/a", "file:///etc/passwd", "memory://simplecache::file:///etc/passwd", "http://[/a"):
        result = ended(client, settings, work, address)
        assert result.error is not None
        assert result.error.code == "delivery_refused"
    assert work.times == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "anna:geheim@example.org"])
def test_a_host_that_cannot_be_is_refused_before_anything_is_heard(
    client: Client, settings: Settings, host: str
) -> None:
    work = Work()
    public = settings.model_copy(update={"url_private_hosts": False})
    result = ended(client, public, work, f"http://{host}/talk.txt")
    assert result.error is not None
    assert (result.error.code, work.times) == ("delivery_refused", 0)
    with pytest.raises(DeliveryRefusedError):
        delivery.deliver(Result(id="a", status="completed"), f"http://{host}/a", public, lambda: None)


def test_a_cancel_ends_it_though_the_receiver_hangs(client: Client, settings: Settings, receiver: Receiver) -> None:
    receiver.hold.clear()
    with serving(client.redis, settings, Work()):
        job = client.submit(TALK, deliver=receiver.url)
        assert receiver.came.wait(50)
        client.cancel(job.id)
        assert client.wait(job.id, timeout_s=50).status == "canceled"


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("s3://b/talk.SRT", "srt"),
        ("https://h/a.vtt?x=.txt", "vtt"),
        ("https://h/a.tsv#x", "tsv"),
        ("https://h", "json"),
    ],
)
def test_the_ending_says_in_which_format(address: str, form: str) -> None:
    assert delivery._form_of(address) == form
