"""Reads http and https URLs, and writes to them.

Not through fsspec: its HTTP file system follows redirects and looks names up by itself, and every hop of the way
must be checked before we connect. For the same reason proxies are not used.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from asrq_jobs import __version__
from asrq_jobs.errors import AudioNotFoundError, DeliveryError, DeliveryRefusedError, FetchError, UrlNotAllowedError
from asrq_worker.audio.address import resolve

SCHEMES = frozenset({"http", "https"})

_BLOCK = 1 << 18  # bytes
_MOST_REDIRECTS = 5
_MOST_ADDRESSES = 3  # of one host: each that does not answer takes the whole timeout
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRY_AGAIN = frozenset({408, 425, 429})
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_AS_GIVEN = "%/:=&?~+!$,;'@()*[]"  # quoted before, or meant literally
_HEADERS = {"User-Agent": f"asrq/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}


def read(url: str, *, schemes: tuple[str, ...], private_hosts: bool) -> Iterator[bytes]:
    """Yield the content in blocks.

    Raises:
        UrlNotAllowedError: the URL, or one that it redirects to, is malformed or leads where it must not.
        AudioNotFoundError: the server has no such thing for us (404, 410, 403, …).
        FetchError: the network or the server failed.
    """
    for _ in range(_MOST_REDIRECTS + 1):
        parts = parse(url, schemes)
        host = parts.hostname or ""
        try:
            connection = connect(parts, private_hosts)
            try:
                connection.request("GET", target(parts), headers=_HEADERS)
                response = connection.getresponse()
                if response.status in _REDIRECTS and (location := response.headers.get("Location")):
                    url = urljoin(url, location)
                    continue
                _check_status(response, host)
                yield from _unpacked(_received(response, host), response.headers.get("Content-Encoding", ""), host)
                return
            finally:
                connection.close()
        except http.client.InvalidURL:
            raise UrlNotAllowedError("The URL is malformed.") from None
        except (OSError, http.client.HTTPException) as error:
            raise FetchError(f"Reading from {host} failed: {str(error) or type(error).__name__}.") from error
        except ValueError:  # a host that TLS refuses, or a Location that is no URL
            raise UrlNotAllowedError("The URL is malformed.") from None
    raise FetchError(f"The URL redirects more than {_MOST_REDIRECTS} times.")


def _received(response: http.client.HTTPResponse, host: str) -> Iterator[bytes]:
    while block := response.read1(_BLOCK):
        yield block
    if response.length:
        raise FetchError(f"{host} broke off before the end.")


def _unpacked(blocks: Iterator[bytes], encoding: str, host: str) -> Iterator[bytes]:
    """Yield content as it was before a server packed it, which stores do with what was stored so, unasked.

    However much a block unfolds to, no more than a block is yielded at once.
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        yield from blocks
        return
    if encoding not in _PACKED:
        raise FetchError(f"{host} sent it packed as {encoding[:40]!r}, which was not asked for.")
    packing = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        for packed in blocks:
            rest = packed
            while rest and not packing.eof:
                if block := packing.decompress(rest, _BLOCK):
                    yield block
                rest = packing.unconsumed_tail
    except zlib.error:
        raise FetchError(f"{host} sent it packed as {encoding!r}, and damaged.") from None
    if not packing.eof:
        raise FetchError(f"{host} broke off before the end.")


def put(url: str, content: bytes, *, schemes: tuple[str, ...], private_hosts: bool) -> None:
    """Send content with PUT, as presigned URLs of stores want it: no header but its length says what it is.

    Raises:
        UrlNotAllowedError: the URL is malformed, or leads where it must not.
        DeliveryRefusedError: the server does not take it from us.
        DeliveryError: the network or the server failed.
    """
    parts = parse(url, schemes)
    host = parts.hostname or ""
    try:
        connection = connect(parts, private_hosts)
        try:
            connection.request("PUT", target(parts), body=content, headers=_HEADERS)
            status, reason = (response := connection.getresponse()).status, response.reason
        finally:
            connection.close()
    except FetchError as error:  # it has no address
        raise DeliveryError(error.message) from error
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryError(f"Sending to {host} failed: {str(error) or type(error).__name__}.") from error
    except ValueError:  # a host that TLS refuses
        raise UrlNotAllowedError("The URL is malformed.") from None
    if not 200 <= status < 300:
        failure = DeliveryError if status >= 500 or status in _TRY_AGAIN else DeliveryRefusedError
        raise failure(f"{host} answered {status} {reason}".rstrip() + ".")


def parse(url: str, schemes: tuple[str, ...]) -> SplitResult:
    """Take a URL apart.

    Raises:
        UrlNotAllowedError: it is malformed, names a user, or its scheme is not among those given.
    """
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UrlNotAllowedError("The URL is malformed.")
    if parts.scheme not in SCHEMES or parts.scheme not in schemes:
        raise UrlNotAllowedError(f"URLs of the scheme {parts.scheme!r} are not allowed here.")
    if parts.username is not None:
        raise UrlNotAllowedError(
            "A URL with a user name is not allowed.", hint="Use a signed URL, or upload the audio."
        )
    return parts


def target(parts: SplitResult) -> str:
    """Return what a request line names: path and query, quoted where they are not."""
    query = f"?{quote(parts.query, _AS_GIVEN)}" if parts.query else ""
    return quote(parts.path or "/", _AS_GIVEN) + query


def connect(parts: SplitResult, private_hosts: bool, *, timeout_s: float = 20.0) -> http.client.HTTPConnection:
    """Connect to an address that was looked at; the limit holds for each address, for TLS and for each read.

    Raises:
        UrlNotAllowedError: it is not public, and must be.
        FetchError: the host has no address.
        OSError: nobody answers there.
    """
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    failure: OSError | None = None
    for address in resolve(host, port, private_hosts=private_hosts)[:_MOST_ADDRESSES]:
        try:
            sock = socket.create_connection((address, port), timeout_s)
        except OSError as error:
            failure = error
            continue
        if not secure:
            plain = http.client.HTTPConnection(host, port)
            plain.sock = sock
            return plain
        try:
            context = ssl.create_default_context()
            encrypted = http.client.HTTPSConnection(host, port, context=context)
            encrypted.sock = context.wrap_socket(sock, server_hostname=host)
        except BaseException:
            sock.close()
            raise
        return encrypted
    raise failure or OSError("it has no address")


@contextmanager
def cut_off(sock: socket.socket, after_s: float) -> Iterator[None]:
    """Break a connection off if the block takes longer: a byte now and then is enough to escape its own timeout."""

    def cut() -> None:
        with suppress(OSError):  # it is closed already
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(after_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _check_status(response: http.client.HTTPResponse, host: str) -> None:
    if response.status == http.client.OK:
        return
    answer = f"{host} answered {response.status} {response.reason}".rstrip()
    if response.status >= 500 or response.status in _TRY_AGAIN or response.status < 400:
        raise FetchError(f"{answer}.")
    raise AudioNotFoundError(f"{answer}.", hint="Check the URL, and that it can be read without logging in.")
