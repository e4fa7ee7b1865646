"""What crosses the pipe between the engine's parent and child, and how it is checked on arrival.

To the child:
    {"op": "load", "backend": name, "config": BackendConfig}
    {"op": "batch", "id": n, "chunks": [ChunkRef, …]}
    {"op": "drop", "id": n}                                     nobody waits for that batch; it is answered all the same
From the child:
    {"op": "loaded", "identity": Identity, "capabilities": Capabilities, "load_s": s, "warm_s": s,
     "fingerprint": text, "tuned": text}
    {"op": "failed", "error": ErrorInfo}                        it could not load; the child ends
    {"op": "done", "id": n, "items": [item, …], "inference_s": s, "idle_s": s}
    {"op": "log", "level": n, "logger": name, "message": text}
where an item is {"transcript": Transcript} or {"error": ErrorInfo}, one for each chunk in order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from asrq_jobs.errors import AsrqError, ErrorInfo, MalformedOutputError, from_info
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, Capabilities, ChunkOptions, Identity, Transcript
from asrq_worker.process.stdio import Message


@dataclass(frozen=True)
class ChunkRef:
    """A chunk by reference: samples [start, stop) of a file of raw float32 little-endian mono 16 kHz."""

    path: Path
    start: int
    stop: int
    options: ChunkOptions

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.stop - self.start) / SAMPLE_RATE


@dataclass(frozen=True)
class Load:
    """What the child is to load."""

    backend: str
    config: BackendConfig


@dataclass(frozen=True)
class Loaded:
    """What the child has loaded."""

    identity: Identity
    capabilities: Capabilities
    load_s: float
    warm_s: float
    fingerprint: str = ""
    """Differs where the same samples and options may get another text; see `engine.fingerprint`."""
    tuned: str = ""
    """See `Backend.tuned`."""


_load = TypeAdapter(Load)
_loaded = TypeAdapter(Loaded)
_chunks = TypeAdapter(tuple[ChunkRef, ...])
_transcript = TypeAdapter(Transcript)


def load(backend: str, config: BackendConfig) -> Message:
    """Return the message that starts the child's work."""
    return {"op": "load", **_load.dump_python(Load(backend, config), mode="json")}


def read_load(message: Message) -> Load:
    """Return the contents of a load message."""
    return _load.validate_python(message)


def loaded(contents: Loaded) -> Message:
    """Return the message that says the model is ready."""
    return {"op": "loaded", **_loaded.dump_python(contents, mode="json")}


def read_loaded(message: Message) -> Loaded:
    """Return the contents of a loaded message."""
    return _loaded.validate_python(message)


def failed(error: AsrqError) -> Message:
    """Return the message that says the model could not be loaded."""
    return {"op": "failed", "error": _error(error)}


def read_failed(message: Message) -> AsrqError:
    """Return the error of a failed message."""
    return from_info(ErrorInfo.model_validate(message["error"]))


def batch(number: int, chunks: Sequence[ChunkRef]) -> Message:
    """Return the message that asks for a batch."""
    return {"op": "batch", "id": number, "chunks": _chunks.dump_python(tuple(chunks), mode="json")}


def drop(number: int) -> Message:
    """Return the message that says that nobody waits for a batch."""
    return {"op": "drop", "id": number}


def read_batch(message: Message) -> tuple[ChunkRef, ...]:
    """Return the chunks of a batch message."""
    return _chunks.validate_python(message["chunks"])


def done(number: int, items: Sequence[object], expected: int, inference_s: float, *, idle_s: float = 0.0) -> Message:
    """Return the message with a batch's outcome; what is neither a transcript nor an error of ours becomes one.

    `idle_s` is how long the thread that took it had had nothing to do.
    """
    if len(items) != expected:
        wrong = MalformedOutputError(f"The backend returned {len(items)} transcripts for {expected} chunks.")
        items = [wrong] * expected
    outcomes = [_item(item) for item in items]
    return {"op": "done", "id": number, "items": outcomes, "inference_s": inference_s, "idle_s": idle_s}


def read_items(message: Message) -> list[Transcript | AsrqError]:
    """Return a batch's outcomes; one that does not validate is a MalformedOutputError in its place."""
    return [_read_item(item) for item in message["items"]]


def _error(error: AsrqError) -> Message:
    return error.info().model_dump(mode="json")


def _item(item: object) -> Message:
    if isinstance(item, AsrqError):
        return {"error": _error(item)}
    if not isinstance(item, Transcript):
        return {"error": _error(MalformedOutputError(f"The backend returned a {type(item).__name__}."))}
    fields = _transcript.dump_python(item, warnings=False)
    try:
        json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError) as error:  # a number that is not finite, or a type that JSON does not have
        return {"error": _error(MalformedOutputError(f"The backend's transcript is not JSON: {error}."))}
    return {"transcript": fields}


def _read_item(item: Message) -> Transcript | AsrqError:
    if "error" in item:
        return from_info(ErrorInfo.model_validate(item["error"]))
    try:
        return _transcript.validate_python(item["transcript"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return MalformedOutputError(f"The backend's transcript is malformed at {where}: {first['msg']}.")
