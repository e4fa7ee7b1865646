"""The configurations of the page on proxies, on real proxies; only names, ports and certificates are the test's."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import REPO, free_port
from integration.http.asking import chunk, error
from redis import Redis
from support.needs import missing
from support.waiting import until
from websockets.sync.client import connect

from asrq_jobs import keys
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.http.service import serving

PAGE = (REPO / "docs" / "how-to" / "put-http-behind-a-proxy.md").read_text(encoding="utf-8")
KEY = "k" * 64


@pytest.fixture
def gateway(settings: Settings, tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "keys.toml"
    path.write_text(f'[anna]\nsha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"\n')
    with serving(settings.model_copy(update={"http_keys": path, "max_audio_mb": 4}), "127.0.0.1", 0) as port:
        yield port


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for `localhost`; its key is in the same folder."""
    openssl = shutil.which("openssl") or missing("openssl")
    path = tmp_path / "cert.pem"
    command = [
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", str(path.with_suffix(".key")), "-out", str(path)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return path


def block(language: str) -> str:
    """The first block of a language on the page."""
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def replaced(text: str, **by: str) -> str:
    """Put in what a test has instead, each of which must stand there."""
    for old, new in by.items():
        assert old in text
        text = text.replace(old, new)
    return text


def nginx(folder: Path, port: int, gateway: int, certificate: Path) -> list[str]:
    site = replaced(
        block("nginx"),
        **{
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "asr.example;": "localhost;",
            "/etc/ssl/certs/asr.example.pem": str(certificate),
            "/etc/ssl/private/asr.example.key": str(certificate.with_suffix(".key")),
            "127.0.0.1:8080": f"127.0.0.1:{gateway}",
        },
    )
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{site}}}\n"
    )
    return ["-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, gateway: int, certificate: Path) -> list[str]:
    tls = f"tls {certificate} {certificate.with_suffix('.key')}"
    site = replaced(
        block("caddyfile"),
        **{
            "asr.example {": f"https://localhost:{port} {{\n    bind 127.0.0.1\n    {tls}",
            "127.0.0.1:8080": f"127.0.0.1:{gateway}",
        },
    )
    (folder / "Caddyfile").write_text(f"{{\n    admin off\n    auto_https disable_redirects\n}}\n{site}")
    return ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@contextmanager
def proxy(name: str, folder: Path, gateway: int, certificate: Path) -> Iterator[str]:
    """Run a proxy until the block ends; gives its address."""
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or missing(name)
    port = free_port()
    arguments = {"nginx": nginx, "caddy": caddy}[name](folder, port, gateway, certificate)
    homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen([program, *arguments], stderr=log, stdout=log, env={**os.environ, **homes})

    def listens() -> bool:
        assert running.poll() is None, (folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(listens)
        yield f"https://localhost:{port}"
    finally:
        running.terminate()
        running.wait(20)


@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_a_proxy_hides_nothing(
    name: str, tmp_path: Path, gateway: int, certificate: Path, scripted: ScriptedWorker, redis: Redis
) -> None:
    trust = ssl.create_default_context(cafile=str(certificate))
    bearer = {"Authorization": f"Bearer {KEY}"}
    large = {"file": ("talk.wav", bytes(3 * 2**20))}
    with (
        proxy(name, tmp_path, gateway, certificate) as address,
        httpx.Client(base_url=address, verify=trust, headers=bearer, timeout=60) as http,
    ):
        assert error(http.get("/v1/models", headers={"Authorization": ""}), 401)["code"] == "unauthorized"
        assert "default-src 'none'" in http.get("/").headers["Content-Security-Policy"]
        assert http.get("/v1/queue", headers={"Origin": address}).status_code == 200  # as the page asks
        form = {"model": "whisper-1", "stream": "true"}
        with http.stream("POST", "/v1/audio/transcriptions", data=form, files=large) as answer:
            execution = scripted.take("batch")
            parts = answer.iter_text()
            scripted.event(execution, chunk(0, "One.", until=2))
            assert "One." in next(parts)  # while the job runs
            scripted.complete(execution, "One. Two.")
            assert "transcript.text.done" in "".join(parts)
        with http.stream("POST", "/v1/audio/transcriptions", data={**form, "prompt": "again"}, files=large) as answer:
            execution = scripted.take("batch")
            scripted.event(execution, chunk(0, "One.", until=2))
            assert "One." in next(answer.iter_text())
        until(lambda: redis.exists(keys.cancel(execution.job_id)))  # the gateway has seen that the client left
        url = f"{address.replace('http', 'ws', 1)}/v1/realtime/transcription"
        protocols: Any = ["realtime", f"openai-insecure-api-key.{KEY}"]
        with connect(url, ssl=trust, origin=address, subprotocols=protocols) as socket:  # as the page does
            assert json.loads(socket.recv(timeout=60))["type"] == "session.created"
