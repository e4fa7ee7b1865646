"""WhisperLive over its HTTP interface; what it is made for, text while somebody speaks, is not compared."""

from __future__ import annotations

import os
import socket
import threading
from functools import cache

import httpx

from systems.contenders.hearing import Job, answer, awaited, valkey

_PORT = "bench:port"


def submit(job: Job) -> None:
    """Post the file, and answer the job when the response is there."""
    threading.Thread(target=_post, args=(job,), daemon=True).start()


@cache
def _port() -> int:
    return int(awaited(_PORT))


def _post(job: Job) -> None:
    with open(job["path"], "rb") as file:  # noqa: PTH123  # httpx wants an open one
        response = httpx.post(
            f"http://127.0.0.1:{_port()}/v1/audio/transcriptions",
            data={"language": job["language"]} if job["language"] else {},
            files={"file": file},
            timeout=None,  # noqa: S113  # it waits its turn
        )
    answer(job, response.json().get("text"))


if __name__ == "__main__":
    import uvicorn
    from whisper_live.server import TranscriptionServer

    server = TranscriptionServer()
    server.default_model = os.environ["BENCH_MODEL"]
    app = server.build_rest_app("faster_whisper", faster_whisper_custom_model_path=os.environ["BENCH_MODEL"])
    listening = socket.create_server(("127.0.0.1", 0))
    valkey().rpush(_PORT, listening.getsockname()[1])
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
