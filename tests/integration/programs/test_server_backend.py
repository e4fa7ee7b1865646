"""A worker whose backend is an inference server, configured by settings alone, with Whisper standing in."""

from __future__ import annotations

from pathlib import Path

from support.openai_server import Behaviour, serving, status
from support.processes import worker

from asrq_jobs import Client
from asrq_worker.backends.base import BackendConfig
from asrq_worker.backends.registry import backend_class

KEY = "sesame-open"


def test_jobs_go_to_the_server_and_to_whisper_when_it_refuses(
    client: Client, valkey_url: str, data: Path, tmp_path: Path
) -> None:
    behind = backend_class("fake")(BackendConfig("fake", tmp_path))
    behind.load()
    behaviour = Behaviour(behind, key=KEY)
    blob = client.upload(data / "hello-en.flac")
    settings = {"server_api_key": KEY, "lanes": "batch:1", "fallback": "whisper", "whisper_model": "tiny.en"}
    with (
        serving(behaviour) as url,
        worker(
            valkey_url, backend="server", model="remote-model", server_url=url, fallback_warm=True, **settings
        ) as running,
    ):
        served = client.wait(client.submit(blob, language="en").id, timeout_s=120)
        behaviour.faults.extend([status(401)] * 20)
        refused = client.wait(client.submit(blob, language="en").id, timeout_s=120)
        assert running.end() == 0
        said = "".join(map(str, running.lines))
    assert (served.status, served.backend, served.model, served.device) == (
        "completed",
        "server",
        "remote-model",
        "remote",
    )
    assert (refused.status, refused.backend, refused.fallback_from) == ("completed", "whisper", "server")
    assert "fallback:server_refused" in refused.warnings
    assert KEY not in said
