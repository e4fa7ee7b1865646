"""URLs against a real local server: what is fetched, and every way in that stays shut."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from support.needs import missing

from asrq_jobs.errors import (
    AsrqError,
    AudioEmptyError,
    AudioNotFoundError,
    AudioTooLargeError,
    CanceledError,
    ExtraMissingError,
    FetchError,
    UrlNotAllowedError,
)
from asrq_jobs.request import UrlAudio
from asrq_jobs.settings import Settings
from asrq_worker.audio import address, web
from asrq_worker.audio.source import Fetcher, LocalAudio
from asrq_worker.storage.spool import Spool

from .conftest import nothing

SPEECH = b"speech" * 1000


def packed(kind: str) -> bytes:
    """Content as a store packs it, or says that it does."""
    match kind:
        case "gzip":
            return gzip.compress(SPEECH)
        case "deflate":
            return zlib.compress(SPEECH)
        case "gzip-bomb":
            return gzip.compress(bytes(200 << 20), 1)
        case "gzip-cut":
            return gzip.compress(SPEECH)[:-9]
        case _:
            return SPEECH


class Site(ThreadingHTTPServer):
    """A server whose pages are functions; `asked` holds the paths of all requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.hosts: list[str] = []
        self.done = threading.Event()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *_: object) -> None: ...

    def _send(self, body: bytes, *, promise: int | None = None, encoding: str | None = None) -> None:
        self.send_response(200)
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(body) if promise is None else promise))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.hosts.append(self.headers["Host"])
        page, _, argument = self.path.strip("/").partition("/")
        match page:
            case "status":
                self.send_error(int(argument))
            case "to":
                self.send_response(302)
                self.send_header("Location", argument)
                self.end_headers()
            case "loop":
                self.send_response(307)
                self.send_header("Location", "/loop")
                self.end_headers()
            case "large":
                self._send(bytes(3 << 20))
            case "broken":
                self._send(SPEECH, promise=10 * len(SPEECH))
            case "empty":
                self._send(b"")
            case "packed":
                self._send(packed(argument), encoding=argument.partition("-")[0])
            case "endless":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(SPEECH)
                self.server.done.wait(20)
            case "nonsense":
                self.wfile.write(b"not http\r\n")
            case _:
                self._send(SPEECH)


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        serving = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield site
        site.done.set()
        site.shutdown()
        serving.join()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool") as spool:
        yield spool


Get = Callable[..., LocalAudio]


@pytest.fixture
def get(spool: Spool) -> Get:
    """Fetch a URL where http, https and some others are allowed, hosts at home too."""

    def fetch(url: str, *, private_hosts: bool = True, check: Callable[[], None] = nothing) -> LocalAudio:
        schemes = ("http", "https", "memory", "file", "local", "simplecache", "nonsense", "ftp")
        settings = Settings(url_schemes=schemes, url_private_hosts=private_hosts, max_audio_mb=1)
        return Fetcher(settings, spool, None).fetch(UrlAudio(url=url), check)

    return fetch


@pytest.fixture
def only_first_address_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 127.0.0.1, where the test's server is, pass for a public address; the rules stand for all others."""
    monkeypatch.setattr(address, "_is_public", lambda text: text == "127.0.0.1" or _is_public(text))


_is_public = address._is_public


def test_content_is_stored_in_the_spool(site: Site, get: Get, spool: Spool) -> None:
    local = get(site.url("/talks/my%20talk.mp3?v=1"))
    assert local.ours is not None
    assert local.ours.parent == spool.path
    assert local.ours.read_bytes() == SPEECH
    assert local.sha256 == hashlib.sha256(SPEECH).hexdigest()
    assert (local.bytes, local.name) == (len(SPEECH), "my talk.mp3")
    assert site.asked == ["/talks/my%20talk.mp3?v=1"]
    assert site.hosts == [f"127.0.0.1:{site.server_port}"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_what_a_store_sends_packed_unasked_is_unpacked(site: Site, get: Get, encoding: str) -> None:
    local = get(site.url(f"/packed/{encoding}"))
    assert (local.sha256, local.bytes) == (hashlib.sha256(SPEECH).hexdigest(), len(SPEECH))


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("gzip-bomb", AudioTooLargeError, "more than 1 MiB"),
        ("gzip-cut", FetchError, "broke off"),
        ("gzip-damaged", FetchError, "damaged"),
        ("br", FetchError, "'br'"),
    ],
)
def test_what_cannot_be_unpacked_or_is_too_large_then_is_told(
    site: Site, get: Get, kind: str, error: type[AsrqError], says: str
) -> None:
    with pytest.raises(error, match=says):
        get(site.url(f"/packed/{kind}"))


def test_letters_of_any_script_are_quoted(site: Site, get: Get) -> None:
    assert get(site.url("/речь 1.mp3")).name == "речь 1.mp3"
    assert site.asked == ["/%D1%80%D0%B5%D1%87%D1%8C%201.mp3"]


def test_redirects_are_followed(site: Site, get: Get) -> None:
    assert get(site.url("/to/" + site.url("/talk.mp3"))).bytes == len(SPEECH)
    assert get(site.url("/to//talk.mp3")).bytes == len(SPEECH)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_this_host_is_refused(site: Site, get: Get, host: str) -> None:
    with pytest.raises(UrlNotAllowedError):
        get(site.url("/talk.mp3", host), private_hosts=False)
    assert site.asked == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.2:{port}/talk.mp3", "http://169.254.169.254/latest/meta-data/", "http://[::1]:{port}/"]
)
@pytest.mark.usefixtures("only_first_address_is_public")
def test_a_redirect_to_a_private_address_is_refused(site: Site, get: Get, target: str) -> None:
    with pytest.raises(UrlNotAllowedError, match="not public"):
        get(site.url("/to/" + target.format(port=site.server_port)), private_hosts=False)
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1/", "javascript:1", "http://[::1"]
)
def test_a_redirect_to_another_scheme_or_to_nonsense_is_refused(site: Site, get: Get, target: str) -> None:
    with pytest.raises(UrlNotAllowedError):
        get(site.url("/to/" + target))


def test_a_redirect_to_plain_http_needs_http_to_be_listed(site: Site, spool: Spool) -> None:
    with pytest.raises(UrlNotAllowedError, match="'http'"):
        list(web.read(site.url("/talk.mp3"), schemes=("https",), private_hosts=True))


def test_a_name_is_looked_up_once_and_its_address_used(site: Site, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: a second look-up would have got another address."""
    answers = iter(["127.0.0.1", "169.254.169.254"])
    looked_up: list[object] = []

    def look_up(host: object, port: int, **_: object) -> list[object]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(address, "_is_public", lambda text: text == "127.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    reached: list[object] = []

    def connect(where: tuple[str, int], timeout: float) -> socket.socket:
        reached.append(where)
        sock = socket.socket()
        sock.connect(where)
        return sock

    monkeypatch.setattr(socket, "create_connection", connect)
    assert get(site.url("/talk.mp3", "rebinds.example"), private_hosts=False).bytes == len(SPEECH)
    assert looked_up == ["rebinds.example"]
    assert reached == [("127.0.0.1", site.server_port)]
    assert site.hosts == [f"rebinds.example:{site.server_port}"]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/status/404", AudioNotFoundError),
        ("/status/410", AudioNotFoundError),
        ("/status/403", AudioNotFoundError),
        ("/status/429", FetchError),
        ("/status/500", FetchError),
        ("/status/503", FetchError),
        ("/status/204", FetchError),
        ("/loop", FetchError),
        ("/broken", FetchError),
        ("/nonsense", FetchError),
        ("/empty", AudioEmptyError),
        ("/large", AudioTooLargeError),
    ],
)
def test_each_failure_has_its_code_and_leaves_nothing(
    site: Site, get: Get, spool: Spool, path: str, error: type[AsrqError]
) -> None:
    with pytest.raises(AsrqError) as raised:
        get(site.url(path))
    assert type(raised.value) is error
    assert spool.usage()[0] == 0


def test_redirects_end(site: Site, get: Get) -> None:
    with pytest.raises(FetchError, match="more than 5 times"):
        get(site.url("/loop"))
    assert len(site.asked) == 6


def test_nobody_listens(get: Get) -> None:
    with pytest.raises(FetchError, match="refused"):
        get("http://127.0.0.1:1/")


def test_what_check_raises_ends_a_fetch_that_hangs(site: Site, get: Get, spool: Spool) -> None:
    began = time.monotonic()

    def check() -> None:
        if site.asked and time.monotonic() > began + 0.3:
            raise CanceledError("Canceled.")

    with pytest.raises(CanceledError):
        get(site.url("/endless"), check=check)
    assert spool.usage()[0] == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///talk.mp3",
        "http://[::1",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://user:word@127.0.0.1/",
        "http://127.0.0.1/a\r\nHost: b",
        "talk.mp3",
        "//127.0.0.1/talk.mp3",
        "gopher://127.0.0.1/",
        "file:///etc/hostname",
        "FILE:///etc/hostname",
        "local:///etc/hostname",
        "file:/etc/hostname",
        "simplecache::file:///etc/hostname",
        "simplecache://::file:///etc/hostname",
        "memory://a::file:///etc/hostname",
        "nonsense://a/b",
    ],
)
def test_what_a_url_may_not_be(get: Get, url: str) -> None:
    with pytest.raises((UrlNotAllowedError, FetchError)) as raised:
        get(url)
    assert isinstance(raised.value, UrlNotAllowedError) or url.startswith("http://127.0.0.1/a")


def test_without_schemes_no_url_is_allowed(site: Site, spool: Spool) -> None:
    with pytest.raises(UrlNotAllowedError) as raised:
        Fetcher(Settings(), spool, None).fetch(UrlAudio(url=site.url("/talk.mp3")), nothing)
    assert "ASRQ_URL_SCHEMES" in (raised.value.hint or "")


def test_https_trusts_only_certificates_that_fit(
    site: Site, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("openssl") is None:
        missing("openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    site.socket = context.wrap_socket(site.socket, server_side=True)
    url = f"https://localhost:{site.server_port}/talk.mp3"
    with pytest.raises(FetchError, match="certificate"):
        get(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert get(url).bytes == len(SPEECH)
    with pytest.raises(FetchError, match="certificate"):
        get(url.replace("localhost", "127.0.0.1"))


# Other schemes, through fsspec


@pytest.fixture
def in_memory() -> Iterator[None]:
    files = fsspec.filesystem("memory")
    files.pipe("/talks/talk.mp3", SPEECH)
    files.pipe("/talks/large.mp3", bytes(3 << 20))
    yield
    files.rm("/talks", recursive=True)


@pytest.mark.usefixtures("in_memory")
def test_other_schemes_go_through_fsspec(get: Get) -> None:
    local = get("memory://talks/talk.mp3")
    assert local.ours is not None
    assert local.ours.read_bytes() == SPEECH
    assert local.name == "talk.mp3"
    with pytest.raises(AudioNotFoundError):
        get("memory://talks/missing.mp3")
    with pytest.raises(AudioTooLargeError):
        get("memory://talks/large.mp3")


def test_hosts_of_other_schemes_are_looked_at_too(get: Get) -> None:
    with pytest.raises(UrlNotAllowedError, match="not public"):
        get("ftp://127.0.0.1/talk.mp3", private_hosts=False)


def test_a_package_that_a_scheme_needs_is_named(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", absent)
    source = Fetcher(Settings(url_schemes=("s3",), url_private_hosts=True), spool, None)
    with pytest.raises(ExtraMissingError, match="s3fs"):
        source.fetch(UrlAudio(url="s3://bucket/talk.mp3"), nothing)
