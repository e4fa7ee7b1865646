"""The server backend against a real HTTP server that misbehaves in every way we have heard of."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import openai_server
from support.openai_server import Behaviour, Fault, Handler, serving

from asrq_jobs import extras
from asrq_jobs.errors import (
    AsrqError,
    AudioTooLargeError,
    ExtraMissingError,
    MalformedOutputError,
    ModelMissingError,
    ServerFailedError,
    ServerRefusedError,
    ServerUnreachableError,
    UnsupportedOptionError,
)
from asrq_worker.backends.base import BackendConfig, Chunk, ChunkOptions, Transcript
from asrq_worker.backends.fake import FakeBackend
from asrq_worker.backends.registry import backend_class, names
from asrq_worker.backends.server import retry
from asrq_worker.backends.server.backend import ServerBackend
from asrq_worker.process.backoff import Backoff

SPEECH = Chunk(np.random.default_rng(5).normal(scale=0.1, size=16_000).astype(np.float32), ChunkOptions("en"))
KEY = "sk-open-sesame"

Connect = Callable[..., ServerBackend]


@pytest.fixture
def behaviour(tmp_path: Path) -> Behaviour:
    fake = FakeBackend(BackendConfig("fake", tmp_path))
    fake.load()
    return Behaviour(fake)


@pytest.fixture
def url(behaviour: Behaviour) -> Iterator[str]:
    with serving(behaviour) as address:
        yield address


@pytest.fixture
def connect(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Make a backend that is not loaded yet; pauses between attempts are short."""
    monkeypatch.setattr(retry, "BACKOFF", Backoff(0.01, 8.0))
    with ExitStack() as stack:

        def make(model: str = "remote-model", **options: Any) -> ServerBackend:
            given = {"url": url, "timeout_s": 10, **options}
            backend = ServerBackend(BackendConfig(model, tmp_path, options=given))
            stack.callback(lambda: backend._connection.close() if hasattr(backend, "_connection") else None)
            return backend

        yield make


@pytest.fixture
def backend(connect: Connect, behaviour: Behaviour) -> ServerBackend:
    """A loaded and warm backend."""
    made = connect()
    made.load()
    made.warm_up()
    behaviour.received.clear()
    return made


def ask(backend: ServerBackend, chunk: Chunk = SPEECH) -> Transcript | AsrqError:
    [outcome] = backend.transcribe_batch([chunk])
    return outcome


def failure(backend: ServerBackend, chunk: Chunk = SPEECH) -> AsrqError:
    outcome = ask(backend, chunk)
    assert isinstance(outcome, AsrqError)
    return outcome


def test_it_is_there_for_users() -> None:
    assert "server" in names()
    assert backend_class("server") is ServerBackend


def test_loading_tells_what_is_known(connect: Connect) -> None:
    backend = connect(concurrency=3, languages=["ru", "en"])
    identity = backend.load()
    assert (identity.backend, identity.backend_version, identity.model) == ("server", "asrq-test/1", "remote-model")
    assert (identity.model_revision, identity.device, identity.compute_type) == (None, "remote", "remote")
    can = backend.capabilities()
    assert (can.parallel, can.max_batch, can.languages) == (3, 1, {"ru", "en"})


@pytest.mark.parametrize(("most", "words", "asked"), [("words", True, 1), ("segments", False, 2), ("text", False, 3)])
def test_warming_up_finds_out_what_the_server_tells(
    connect: Connect, behaviour: Behaviour, most: str, words: bool, asked: int
) -> None:
    behaviour.most_detail = most
    backend = connect()
    backend.load()
    backend.warm_up()
    assert len(behaviour.received) == asked
    assert backend.capabilities().word_timestamps is words
    behaviour.received.clear()
    heard = ask(backend)
    assert isinstance(heard, Transcript)
    [received] = behaviour.received
    assert received.fields["response_format"] == ("json" if most == "text" else "verbose_json")
    assert received.fields.get("timestamp_granularities[]") == (None if most == "text" else "segment")
    assert bool(heard.segments) is (most != "text")


def test_what_is_sent(connect: Connect, behaviour: Behaviour) -> None:
    behaviour.key = KEY
    backend = connect(api_key=KEY)
    backend.load()
    backend.warm_up()
    heard = ask(backend, Chunk(SPEECH.samples, ChunkOptions("ru", word_timestamps=True, prompt="p", hotwords=("h",))))
    received = behaviour.received[-1]
    assert received.path == "/v1/audio/transcriptions"
    assert received.headers["Authorization"] == f"Bearer {KEY}"
    assert received.headers["User-Agent"].startswith("asrq/")
    assert received.fields == {
        "model": "remote-model", "temperature": "0", "language": "ru", "prompt": "p\nh",
        "response_format": "verbose_json", "timestamp_granularities[]": "segment,word",
    }  # fmt: skip
    assert isinstance(heard, Transcript)
    assert heard.segments[0].words


def test_connections_are_kept(backend: ServerBackend, behaviour: Behaviour) -> None:
    ports = set()

    def note(handler: Handler) -> bool:
        ports.add(handler.client_address[1])
        return True

    behaviour.faults.extend([note] * 5)
    assert all(isinstance(outcome, Transcript) for outcome in backend.transcribe_batch([SPEECH] * 5))
    assert len(ports) == 1


def test_no_more_requests_run_at_a_time_than_allowed(connect: Connect, behaviour: Behaviour) -> None:
    backend = connect(concurrency=2)
    backend.load()
    backend.warm_up()
    together, both = [0, 0], threading.Barrier(2)
    lock = threading.Lock()

    def count(handler: Handler) -> bool:
        with lock:
            together[0] += 1
            together[1] = max(together)
        both.wait(5)  # passes only if two are here
        with lock:
            together[0] -= 1
        return True

    behaviour.faults.extend([count] * 6)
    threads = [threading.Thread(target=backend.transcribe_batch, args=([SPEECH],)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [0, 2]


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (openai_server.status(400, {"error": {"message": "bad sampling rate."}}), ServerRefusedError, "rate"),
        (openai_server.status(401, {"error": {"message": "no"}}), ServerRefusedError, "refuses our key"),
        (openai_server.status(403, {"detail": "blocked"}), ServerRefusedError, "refuses our key .403.: blocked"),
        (openai_server.status(404), ModelMissingError, "no model 'remote-model'"),
        (openai_server.status(413, b"too big"), AudioTooLargeError, "does not take 1.0 s"),
        (openai_server.status(418, {"error": 5}), ServerRefusedError, "does not accept the request .418..$"),
        (openai_server.status(307, b"", Location="http://192.0.2.1/"), ServerRefusedError, "redirects elsewhere"),
        (openai_server.raw(b"<html>It works!</html>"), MalformedOutputError, "malformed"),
        (openai_server.raw(b'{"txt": "x"}'), MalformedOutputError, "malformed at text"),
        (openai_server.raw(b'{"text": ["x"]}'), MalformedOutputError, "malformed at text"),
        (
            openai_server.status(200, b"no gzip at all", Content_Encoding="gzip"),
            MalformedOutputError,
            "not encoded as it says",
        ),
        (openai_server.huge, MalformedOutputError, "more than 8 MiB"),
    ],
)
def test_answers_that_no_repetition_will_change(
    backend: ServerBackend, behaviour: Behaviour, fault: Fault, error: type[AsrqError], sentence: str
) -> None:
    behaviour.faults.append(fault)
    wrong = failure(backend)
    assert type(wrong) is error
    assert wrong.retryable is error.retryable
    with pytest.raises(error, match=sentence):
        raise wrong
    assert wrong.hint
    assert len(behaviour.received) == 1, "asked once"
    assert isinstance(ask(backend), Transcript), "the next chunk is served"


@pytest.mark.parametrize("fault", [openai_server.reset, *(openai_server.status(n) for n in (408, 429, 500, 502, 503))])
def test_what_may_pass_is_tried_again(backend: ServerBackend, behaviour: Behaviour, fault: Fault) -> None:
    behaviour.faults.extend([fault, fault])
    assert isinstance(ask(backend), Transcript)
    assert len(behaviour.received) == 3


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (openai_server.reset, ServerUnreachableError, "cannot be reached"),
        (openai_server.status(429), ServerFailedError, "too much to do"),
        (openai_server.status(500), ServerFailedError, r"failed \(500\)"),
        (openai_server.status(503), ServerFailedError, r"failed \(503\)"),
    ],
)
def test_what_does_not_pass_is_given_up(
    backend: ServerBackend, behaviour: Behaviour, fault: Fault, error: type[AsrqError], sentence: str
) -> None:
    behaviour.faults.extend([fault] * 4)
    wrong = failure(backend)
    assert type(wrong) is error
    assert wrong.retryable
    assert wrong.hint
    with pytest.raises(error, match=sentence):
        raise wrong
    assert len(behaviour.received) == 4


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured(backend: ServerBackend, behaviour: Behaviour, as_date: bool) -> None:
    at: list[float] = []

    def busy(handler: Handler) -> bool:
        at.append(time.monotonic())
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        return openai_server.status(429, Retry_After=date if as_date else "1")(handler)

    def note(handler: Handler) -> bool:
        at.append(time.monotonic())
        return True

    behaviour.faults.extend([busy, note])
    assert isinstance(ask(backend), Transcript)
    assert 0.9 < at[1] - at[0] < 20


def test_a_pause_that_is_too_long_is_not_waited_for(backend: ServerBackend, behaviour: Behaviour) -> None:
    behaviour.faults.append(openai_server.status(429, Retry_After="3600"))
    began = time.monotonic()
    assert "asks to wait 3600 s" in failure(backend).message
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("fault", [openai_server.never, openai_server.drip, openai_server.drip_body])
def test_the_clock_ends_what_the_server_does_not(connect: Connect, behaviour: Behaviour, fault: Fault) -> None:
    backend = connect(timeout_s=0.5)
    backend.load()
    backend.warm_up()
    behaviour.faults.append(fault)
    began = time.monotonic()
    wrong = failure(backend)
    assert 0.4 < time.monotonic() - began < 20
    assert isinstance(wrong, ServerUnreachableError)
    assert "did not answer within 0.5 s" in wrong.message
    assert "ASRQ_SERVER_TIMEOUT_S" in (wrong.hint or "")
    assert isinstance(ask(backend), Transcript)


def test_nobody_listens(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ServerUnreachableError, match="cannot be reached") as caught:
        connect(url=f"http://127.0.0.1:{port}").load()
    assert "ASRQ_SERVER_URL" in (caught.value.hint or "")


def test_a_certificate_is_asked_for(connect: Connect, url: str) -> None:
    with pytest.raises(ServerUnreachableError, match="cannot be reached"):
        connect(url=url.replace("http:", "https:")).load()


def test_a_wrong_key(connect: Connect, behaviour: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    behaviour.key = "another"
    with pytest.raises(ServerRefusedError, match="refuses our key") as caught:
        connect(api_key=KEY).load()
    assert "ASRQ_SERVER_API_KEY" in (caught.value.hint or "")
    assert "Incorrect API key provided: ***" in caught.value.message
    assert KEY not in caplog.text + str(caught.value.info())


def test_a_model_that_the_server_does_not_have(connect: Connect, behaviour: Behaviour) -> None:
    with pytest.raises(ModelMissingError, match="no model 'other'") as caught:
        connect("other").load()
    assert "remote-model" in (caught.value.hint or "")
    behaviour.lists_models = False
    backend = connect("other")
    backend.load()
    with pytest.raises(ModelMissingError, match="The model `other` does not exist"):
        backend.warm_up()


def test_something_else_at_the_address(connect: Connect, behaviour: Behaviour) -> None:
    behaviour.at_models = openai_server.raw(b"<html>It works!</html>")
    with pytest.raises(MalformedOutputError) as caught:
        connect().load()
    assert "ASRQ_SERVER_URL" in (caught.value.hint or "")
    behaviour.at_models = openai_server.status(302, b"", Location="/login")
    with pytest.raises(ServerRefusedError, match="redirects"):
        connect().load()


def test_httpx_is_not_installed(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExtraMissingError) as caught:
        connect().load()
    assert caught.value.hint == extras.hint("server")


def test_a_server_that_kept_failing_serves_the_next_chunk(
    connect: Connect, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether jobs go there at all is decided in one place, for all backends: by the engine's circuit breaker."""
    monkeypatch.setattr(retry, "RETRIES", 0)
    backend = connect()
    backend.load()
    backend.warm_up()
    behaviour.received.clear()
    behaviour.faults.extend([openai_server.status(500)] * 8)
    for _ in range(8):
        assert isinstance(failure(backend), ServerFailedError)
    assert isinstance(ask(backend), Transcript)
    assert len(behaviour.received) == 9


def test_a_busy_server_is_asked_again(connect: Connect, behaviour: Behaviour) -> None:
    backend = connect()
    backend.load()
    behaviour.faults.extend([openai_server.status(429)] * (2 * (retry.RETRIES + 1)))
    for _ in range(2):
        failed = failure(backend)
        assert isinstance(failed, ServerFailedError)
        assert "429" in failed.message
    assert isinstance(ask(backend), Transcript)


def test_chat(connect: Connect, behaviour: Behaviour) -> None:
    behaviour.prefix = "language Russian<asr_text>"
    backend = connect(api="chat")
    backend.load()
    backend.warm_up()
    can = backend.capabilities()
    assert (can.languages, can.detects_language, can.word_timestamps) == (frozenset(), True, False)
    heard = ask(backend, Chunk(SPEECH.samples, ChunkOptions(prompt="sleep:0", hotwords=("Valkey",))))
    assert isinstance(heard, Transcript)
    assert (len(heard.text), heard.language, heard.segments) == (12, "ru", ())
    assert behaviour.received[-1].path == "/v1/chat/completions"
    assert behaviour.received[-1].fields["prompt"] == "sleep:0\nValkey"
    refused = failure(backend)
    assert isinstance(refused, UnsupportedOptionError)
    assert "ASRQ_SERVER_API=transcriptions" in (refused.hint or "")


def test_a_leaked_prefix_is_taken_out(backend: ServerBackend, behaviour: Behaviour) -> None:
    clean = ask(backend)
    behaviour.prefix = "language English<asr_text>"
    assert ask(backend) == clean


def test_words_that_do_not_come(backend: ServerBackend, behaviour: Behaviour) -> None:
    behaviour.faults.append(openai_server.raw(b'{"text": "Hello."}'))
    refused = failure(backend, Chunk(SPEECH.samples, ChunkOptions(word_timestamps=True)))
    assert isinstance(refused, UnsupportedOptionError)
    assert "no times of words" in refused.message


def test_no_thread_is_left(connect: Connect) -> None:
    backend = connect()
    backend.load()
    assert _threads() == 1
    backend._connection.close()
    assert _threads() == 0
    del backend._connection
    with pytest.raises(ModelMissingError):
        connect("other").load()
    assert _threads() == 0


def _threads() -> int:
    return sum(thread.name == "server-connection" for thread in threading.enumerate())
