"""The server backend: a model behind an OpenAI-compatible HTTP API (vLLM, `qwen-asr-serve`, speaches, OpenAI)."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from asrq_jobs import extras
from asrq_jobs.errors import (
    AsrqError,
    AudioTooLargeError,
    ExtraMissingError,
    ModelMissingError,
    ServerRefusedError,
    UnsupportedOptionError,
)
from asrq_worker.backends import guards, options
from asrq_worker.backends.base import (
    SAMPLE_RATE,
    Backend,
    BackendConfig,
    Capabilities,
    Chunk,
    Identity,
    Transcript,
)
from asrq_worker.backends.refusal import unsupported
from asrq_worker.backends.server import messages
from asrq_worker.backends.server.messages import Detail
from asrq_worker.backends.server.options import Options, checked

if TYPE_CHECKING:
    from asrq_worker.backends.server.connection import Response, ServerClient

SHORTEST_S = 0.1
"""OpenAI refuses less."""

_MODELS = "/v1/models"
_PATHS = {"transcriptions": "/v1/audio/transcriptions", "chat": "/v1/chat/completions"}
_NOT_OFFERED = frozenset({404, 405, 501})
_NOT_UNDERSTOOD = frozenset({400, 415, 422, 501})
_LONGEST_QUOTE = 200


class ServerBackend(Backend):
    """Options: see `options.Options`. `config.model` is the model's name on the server."""

    name: ClassVar[str] = "server"

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._options = checked(options.read(Options, config, backend=self.name))
        self._detail = Detail.TEXT
        self._connection: ServerClient

    def load(self) -> Identity:
        """Connect, and see that the server accepts our key and has the model.

        Raises:
            ExtraMissingError: httpx is not installed.
            ModelMissingError: the server lists its models, and this one is not among them.
            ServerRefusedError: it does not accept our key.
            ServerUnreachableError, ServerFailedError, MalformedOutputError: it does not work.
        """
        if importlib.util.find_spec("httpx") is None:
            raise ExtraMissingError(
                "The server backend needs the package httpx, which is not installed.",
                hint=extras.hint("server"),
            )
        from asrq_worker.backends.server.connection import ServerClient

        connection = ServerClient(self._options)
        try:
            answer = connection.request("GET", _MODELS)
            if answer.status not in _NOT_OFFERED:
                self._check(answer, 0.0)
                self._check_model(messages.read_models(answer.body))
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        version = answer.headers.get("server", "unknown")
        return Identity(self.name, version, self.config.model, None, "remote", "remote")

    def warm_up(self) -> None:
        """Transcribe noise, and find out how much the server tells: words and segments, segments, or text alone.

        Raises:
            AsrqError: the server does not transcribe.
        """
        noise = np.random.default_rng(0).normal(scale=0.01, size=SAMPLE_RATE).astype(np.float32)
        details = reversed(Detail) if self._options.api == "transcriptions" else (Detail.TEXT,)
        for detail in details:
            answer = self._ask(Chunk(noise), detail)
            if answer.status not in _NOT_UNDERSTOOD:
                break
        self._read(answer, Chunk(noise))
        self._detail = detail

    def capabilities(self) -> Capabilities:
        """Return what the server can do, as far as `warm_up` found out.

        A chat model cannot be told the language: the template that makes its prompt has no place for it.
        """
        return Capabilities(
            languages=frozenset(self._options.languages) if self._options.api == "transcriptions" else frozenset(),
            word_timestamps=self._detail is Detail.WORDS,
            prompt=True,
            hotwords=True,
            parallel=self._options.concurrency,
        )

    def transcribe_batch(self, chunks: Sequence[Chunk]) -> list[Transcript | AsrqError]:
        """Transcribe chunks one after the other; more in flight come from more threads."""
        return [self._guarded(chunk) for chunk in chunks]

    def _guarded(self, chunk: Chunk) -> Transcript | AsrqError:
        try:
            return self._transcribe(chunk)
        except AsrqError as error:
            return error

    def _transcribe(self, chunk: Chunk) -> Transcript:
        if refused := unsupported(chunk.options, self.capabilities(), backend=self.name, model=self.config.model):
            raise refused
        samples = guards.clean(chunk.samples)
        if chunk.seconds < SHORTEST_S or guards.is_silent(samples):
            return Transcript("", None)
        # Words are asked for only where wanted: they cost the server another pass.
        detail = self._detail if chunk.options.word_timestamps else min(self._detail, Detail.SEGMENTS)
        heard = self._read(self._ask(Chunk(samples, chunk.options), detail), chunk)
        timed = any(segment.words for segment in heard.segments)
        if chunk.options.word_timestamps and heard.text and not timed:
            raise UnsupportedOptionError(
                f"The inference server {self._options.url} gives no times of words.",
                hint="Leave word_timestamps out, or use another backend.",
            )
        return heard

    def _ask(self, chunk: Chunk, detail: Detail) -> Response:
        audio, options, model = messages.wav(chunk.samples), chunk.options, self.config.model
        content = (
            messages.completion(model, audio, options)
            if self._options.api == "chat"
            else messages.transcription(model, audio, options, detail)
        )
        return self._connection.request("POST", _PATHS[self._options.api], **content)

    def _read(self, answer: Response, chunk: Chunk) -> Transcript:
        self._check(answer, chunk.seconds)
        if self._options.api == "chat":
            return messages.read_completion(answer.body, chunk.options)
        return messages.read_transcription(answer.body, chunk.options, chunk.seconds)

    def _check_model(self, known: Sequence[str]) -> None:
        if self.config.model not in known:
            raise ModelMissingError(
                f"The inference server {self._options.url} has no model {self.config.model!r}.",
                hint=f"It has: {', '.join(known[:12]) or 'none'}. Set ASRQ_MODEL to one of them.",
            )

    def _check(self, answer: Response, seconds: float) -> None:
        """Turn a status that no repetition will change into an error."""
        status, where = answer.status, f"The inference server {self._options.url}"
        if 200 <= status < 300:
            return
        said = self._quote(answer.body)
        if status in {401, 403}:
            raise ServerRefusedError(f"{where} refuses our key ({status}){said}.", hint="Check ASRQ_SERVER_API_KEY.")
        if status == 404:
            raise ModelMissingError(
                f"{where} has no model {self.config.model!r}, or no {_PATHS[self._options.api]}{said}.",
                hint="Check ASRQ_MODEL, ASRQ_SERVER_URL and ASRQ_SERVER_API.",
            )
        if status == 413:
            raise AudioTooLargeError(
                f"{where} does not take {seconds:.1f} s of audio at once ({status}){said}.",
                hint="Lower ASRQ_CHUNK_S, or raise the server's limit.",
            )
        if 300 <= status < 400:
            raise ServerRefusedError(
                f"{where} redirects elsewhere ({status}).",
                hint="Set ASRQ_SERVER_URL to the address that serves; redirects are not followed.",
            )
        raise ServerRefusedError(
            f"{where} does not accept the request ({status}){said}.",
            hint="Check ASRQ_MODEL, ASRQ_SERVER_API and the server's log.",
        )

    def _quote(self, body: bytes) -> str:
        """Return `: ` and what the server says is wrong, if it says so in a form known to us, without our key."""
        try:
            told: Any = json.loads(body)
            told = told.get("error", told)
            told = told if isinstance(told, str) else told.get("message") or told.get("detail")
        except (ValueError, AttributeError, RecursionError):
            return ""
        if not isinstance(told, str):
            return ""
        text = " ".join(told.split()).rstrip(".")
        if key := self._options.api_key:
            text = text.replace(key.get_secret_value(), "***")
        return f": {text[:_LONGEST_QUOTE]}" if text else ""
