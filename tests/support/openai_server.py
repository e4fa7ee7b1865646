"""A real HTTP server that speaks OpenAI's audio API over one of our own backends, with faults on command."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import struct
import sys
import threading
import wave
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import numpy as np

from asrq_jobs.errors import AsrqError, RequestError
from asrq_jobs.languages import NAMES
from asrq_worker.backends.base import Backend, Chunk, ChunkOptions, Samples, Transcript

Fault = Callable[["Handler"], bool]
"""Gets a request in place of the server; returns whether the server is to serve it all the same."""


@dataclass(frozen=True)
class Received:
    """A request as it arrived; form fields that came several times are joined by commas."""

    path: str
    headers: Message
    fields: dict[str, str]


@dataclass
class Behaviour:
    """What the server is like."""

    backend: Backend
    model: str = "remote-model"
    key: str | None = None
    most_detail: str = "words"
    """words, segments or text: a request for more is a bad request."""
    prefix: str = ""
    """Leaked before each text."""
    lists_models: bool = True
    faults: deque[Fault] = field(default_factory=deque)
    """Each meets one POST."""
    at_models: Fault | None = None
    received: list[Received] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "asrq-test/1", ""
    behaviour: Behaviour

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class calls it so
        """Say nothing."""

    def do_GET(self) -> None:
        """Serve the list of models."""
        here = self.behaviour
        if here.at_models is not None and not here.at_models(self):
            return
        if not self._is_let_in():
            return
        if self.path != "/v1/models" or not here.lists_models:
            self.answer(404, {"detail": "Not Found"})
            return
        self.answer(200, {"object": "list", "data": [{"id": here.model, "object": "model"}]})

    def do_POST(self) -> None:
        """Serve a transcription or a completion, unless a fault is due."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        here = self.behaviour
        fields, audio = _form(self.headers, body) if self.path.endswith("/transcriptions") else _chat(body)
        here.received.append(Received(self.path, self.headers, fields))
        if here.faults and not here.faults.popleft()(self):
            return
        if not self._is_let_in():
            return
        if fields["model"] != here.model:
            self.answer(404, {"error": {"message": f"The model `{fields['model']}` does not exist."}})
            return
        asked = fields.get("timestamp_granularities[]", "")
        wants = (
            "words" if "word" in asked else "segments" if fields.get("response_format") == "verbose_json" else "text"
        )
        if ("text", "segments", "words").index(wants) > ("text", "segments", "words").index(here.most_detail):
            self.answer(400, {"error": {"message": f"response_format: {wants} are not supported."}})
            return
        options = ChunkOptions(fields.get("language"), word_timestamps=wants == "words", prompt=fields.get("prompt"))
        self._transcribe(Chunk(audio, options), wants)

    def _transcribe(self, chunk: Chunk, detail: str) -> None:
        try:
            [outcome] = self.behaviour.backend.transcribe_batch([chunk])
        except Exception as error:  # noqa: BLE001  # as a web framework does
            outcome = AsrqError(str(error))
        if isinstance(outcome, AsrqError):
            self.answer(400 if isinstance(outcome, RequestError) else 500, {"error": {"message": outcome.message}})
        elif self.path.endswith("/completions"):
            message = {"role": "assistant", "content": self.behaviour.prefix + outcome.text}
            self.answer(200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        else:
            self.answer(200, _document(outcome, chunk, detail, self.behaviour.prefix))

    def answer(self, status: int, document: Any = None, *, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send a whole answer; bytes as they are, anything else as JSON."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in (*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _is_let_in(self) -> bool:
        key = self.behaviour.key
        if key is None or self.headers["Authorization"] == f"Bearer {key}":
            return True
        said = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        self.answer(401, {"error": {"message": f"Incorrect API key provided: {said}."}})
        return False


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """Run a server on loopback; gives its URL."""

    class Bound(Handler):
        pass

    Bound.behaviour = behaviour
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        with mock.patch.dict(os.environ, NO_PROXY="127.0.0.1"):  # a developer may be behind one
            yield f"http://127.0.0.1:{server.server_port}"
    finally:
        behaviour.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


def status(code: int, document: Any = None, **headers: str) -> Fault:
    """Answer with a status; underscores in names of headers stand for hyphens."""

    def fault(handler: Handler) -> bool:
        handler.answer(code, document, headers=[(name.replace("_", "-"), value) for name, value in headers.items()])
        return False

    return fault


def raw(body: bytes) -> Fault:
    """Answer 200 with these bytes."""
    return status(200, body)


def reset(handler: Handler) -> bool:
    """Drop the connection without an answer."""
    handler.close_connection = True
    at_once = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    handler.connection.close()
    return False


def never(handler: Handler) -> bool:
    """Do not answer."""
    handler.behaviour.stopping.wait(30)
    handler.close_connection = True
    return False


def drip(handler: Handler) -> bool:
    """Answer one byte at a time, headers first: each byte comes long before a reader's patience ends."""
    handler.close_connection = True
    answer = b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 100_000
    for n in range(len(answer)):
        try:
            handler.wfile.write(answer[n : n + 1])
        except OSError:
            return False
        if handler.behaviour.stopping.wait(0.01):
            return False
    return False


def drip_body(handler: Handler) -> bool:
    """Answer with whole headers, then one byte of the body at a time."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    return drip(handler)


def huge(handler: Handler) -> bool:
    """Answer with more than anybody wants to read."""
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    block = b" " * (1 << 20)
    try:
        for _ in range(64):
            handler.wfile.write(block)
    except OSError:
        pass
    return False


def _document(transcript: Transcript, chunk: Chunk, detail: str, prefix: str) -> dict[str, Any]:
    document: dict[str, Any] = {"text": prefix + transcript.text}
    if detail == "text":
        return document
    document |= {
        "task": "transcribe",
        "language": NAMES[transcript.language].lower() if transcript.language else "english",
        "duration": chunk.seconds,
        "segments": [
            {"id": n, "start": segment.start, "end": segment.end, "text": segment.text, "temperature": 0.0}
            for n, segment in enumerate(transcript.segments)
        ],
    }
    if detail == "words":
        document["words"] = [
            {"word": word.word.strip(), "start": word.start, "end": word.end}
            for segment in transcript.segments
            for word in segment.words or ()
        ]
    return document


def _form(headers: Message, body: bytes) -> tuple[dict[str, str], Samples]:
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    fields: dict[str, str] = {}
    audio: Samples = np.zeros(0, np.float32)
    for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if name == "file":
            audio = _samples(content)
        else:
            value = content.decode()
            fields[name] = f"{fields[name]},{value}" if name in fields else value
    return fields, audio


def _chat(body: bytes) -> tuple[dict[str, str], Samples]:
    request = json.loads(body)
    told = {message["role"]: message["content"] for message in request["messages"]}
    [part] = told["user"]
    assert part["type"] == "audio_url"
    kind, _, content = part["audio_url"]["url"].partition(",")
    assert kind == "data:audio/wav;base64"
    fields = {"model": request["model"]} | ({"prompt": told["system"]} if "system" in told else {})
    return fields, _samples(base64.b64decode(content))


def _samples(content: bytes) -> Samples:
    with wave.open(io.BytesIO(content)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 2, 16_000)
        frames = np.frombuffer(reader.readframes(reader.getnframes()), dtype="<i2")
    return frames.astype(np.float32) / 32768
