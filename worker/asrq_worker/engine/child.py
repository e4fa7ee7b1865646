"""The engine's child: `python -m asrq_worker.engine.child` loads a model and transcribes batches until it is killed."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from asrq_jobs.errors import AsrqError, InferenceError, InternalError, OutOfMemoryError, StorageError
from asrq_worker.backends.base import Backend, Chunk
from asrq_worker.backends.registry import backend_class
from asrq_worker.engine import messages
from asrq_worker.engine.fingerprint import fingerprint
from asrq_worker.engine.messages import ChunkRef
from asrq_worker.process import heap
from asrq_worker.process.serve import serve
from asrq_worker.process.stdio import Message
from asrq_worker.storage.disk import refusal

log = logging.getLogger("asrq_worker.engine.child")  # not __main__

Send = Callable[[Message], None]


class _EngineChild:
    """Handles the parent's messages: first one `load`, then batches, each in a thread of its own."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._backend: Backend | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._thread = threading.local()
        self._wanted: set[int] = set()
        logging.basicConfig(handlers=[_LogToParent(send)], level=logging.WARNING)

    def __call__(self, message: Message) -> None:
        """Handle one message."""
        if message["op"] == "load":
            self._load(message)
        elif message["op"] == "batch":
            assert self._pool is not None  # noqa: S101  # the parent sends batches only once we are loaded
            self._wanted.add(message["id"])
            self._pool.submit(self._transcribe, message["id"], messages.read_batch(message))
        elif message["op"] == "drop":
            self._wanted.discard(message["id"])

    def _load(self, message: Message) -> None:
        try:
            order = messages.read_load(message)
            started = time.perf_counter()
            self._backend = backend_class(order.backend)(order.config)
            identity = self._backend.load()
            load_s = time.perf_counter() - started
            self._backend.warm_up()
            warm_s = time.perf_counter() - started - load_s
            heap.trim()  # a model is often loaded in another type than it is stored in
            capabilities = self._backend.capabilities()
        except Exception as error:
            if not isinstance(error, AsrqError):
                log.exception("Loading the backend failed.")
                error = InternalError(f"Loading the backend failed: {type(error).__name__}: {error}")
            self._send(messages.failed(error))
            os._exit(1)  # native threads that a half-loaded model left behind must not hold the process
        self._pool = ThreadPoolExecutor(capabilities.parallel + capabilities.spare, thread_name_prefix="batch")
        decides = fingerprint(identity, order.config, self._backend.packages, self._backend.folders)
        self._send(
            messages.loaded(messages.Loaded(identity, capabilities, load_s, warm_s, decides, self._backend.tuned))
        )

    def _transcribe(self, number: int, refs: tuple[ChunkRef, ...]) -> None:
        assert self._backend is not None  # noqa: S101  # loaded before the pool exists
        started = time.perf_counter()
        idle_s = started - getattr(self._thread, "free_since", started)
        try:
            found = [_read(ref, lambda: number in self._wanted) for ref in refs]
            chunks = [chunk for chunk in found if isinstance(chunk, Chunk)]
            items: list[Any] = list(self._backend.transcribe_batch(chunks)) if chunks else []
            for place, chunk in enumerate(found):
                if isinstance(chunk, AsrqError):
                    items.insert(place, chunk)
        except MemoryError:
            items = [OutOfMemoryError("The host ran out of memory.")] * len(refs)
        except Exception as error:  # whatever a backend raises is this batch's failure only
            log.exception("The backend raised.")
            items = [InferenceError(f"The backend failed: {type(error).__name__}: {error}")] * len(refs)
        self._wanted.discard(number)
        ended = self._thread.free_since = time.perf_counter()
        self._send(messages.done(number, items, len(refs), ended - started, idle_s=idle_s))


class _LogToParent(logging.Handler):
    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send_message = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send_message(
            {"op": "log", "level": record.levelno, "logger": record.name, "message": self.format(record)}
        )


def _read(ref: ChunkRef, wanted: Callable[[], bool]) -> Chunk | AsrqError:
    """Map the samples; those of a job that was canceled may be gone, which is no matter to its batch mates."""
    try:
        mapped = np.memmap(ref.path, "<f4", mode="r", offset=ref.start * 4, shape=(ref.stop - ref.start,))
    except OSError as error:
        return refusal(error)
    except ValueError:
        return StorageError("Audio that was kept while it is worked on has been cut off.")
    return Chunk(np.asarray(mapped, dtype=np.float32), ref.options, wanted)


if __name__ == "__main__":
    serve(_EngineChild, at_once=("batch", "drop"))
