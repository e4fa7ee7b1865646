"""Reads and writes URLs, as far as the operator allows: http and https through `web`, all else through fsspec."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from asrq_jobs.errors import (
    AsrqError,
    AudioNotFoundError,
    DeliveryError,
    DeliveryRefusedError,
    ExtraMissingError,
    FetchError,
    UrlNotAllowedError,
)
from asrq_worker.audio import web
from asrq_worker.audio.address import resolve

_INSTALL = "Install it beside asrq."
_BLOCK = 1 << 20  # bytes
_POLL_S = 0.2
_STALL_S = 60.0
_SLOWEST_S = 600.0  # and a second for each so many bytes: what trickles must not hold a slot for good
_SLOWEST = 1000

# fsspec's ways to files of this host, and those that take another URL or path inside.
_OF_THIS_HOST = frozenset(
    {"file", "local", "asynclocal", "dir", "generic", "reference", "git", "zip", "tar", "libarchive", "asyncwrapper",
     "cached", "blockcache", "filecache", "simplecache"}
)  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """What the operator allows: URL schemes, and hosts with private addresses."""

    schemes: tuple[str, ...]
    private_hosts: bool


def file_name(url: str) -> str | None:
    """Return the last part of the path, for people."""
    with suppress(ValueError):
        return PurePosixPath(unquote(urlsplit(url).path)).name[:255] or None
    return None


def refuse_local(url: str) -> None:
    """Refuse what no operator can allow.

    Raises:
        UrlNotAllowedError: it is no URL, or leads to files of this host, maybe through another URL.
    """
    scheme, parts, _ = url.partition("://")
    if not parts:
        raise UrlNotAllowedError("This is no URL: it has no scheme.")
    if scheme.lower() in web.SCHEMES:
        return
    if "::" in url:
        raise UrlNotAllowedError("A chain of URLs is not allowed.")
    if scheme.lower() in _OF_THIS_HOST:
        raise UrlNotAllowedError(f"URLs of the scheme {scheme[:40]!r} are not allowed here.")


def check_scheme(url: str, schemes: tuple[str, ...]) -> str:
    """Return the scheme of a URL.

    Raises:
        UrlNotAllowedError: it is not listed, or no operator can allow the URL.
    """
    refuse_local(url)
    scheme = url.partition("://")[0].lower()
    if scheme not in schemes:
        raise UrlNotAllowedError(f"URLs of the scheme {scheme[:40]!r} are not allowed here.")
    return scheme


def stream(url: str, rules: Rules, check: Callable[[], None]) -> Generator[bytes]:
    """Yield the content in blocks. Close the generator if you leave early.

    The network is read in a thread of its own, so that `check` is called five times a second even if the network
    hangs. Every scheme that leads to files of this host is refused, listed or not, and so are chains of URLs
    (simplecache::file:///etc/passwd): files have rules of their own.

    Raises:
        UrlNotAllowedError: the scheme is not listed, or the host not public.
        AudioNotFoundError: there is no such thing.
        ExtraMissingError: fsspec needs a package for the scheme.
        FetchError: the network failed, nothing came for a minute, or little for ten.
    """
    read = _reader(url, rules)
    blocks: queue.Queue[bytes | AsrqError] = queue.Queue(maxsize=4)
    left = threading.Event()

    def put(block: bytes | AsrqError) -> None:
        while not left.is_set():
            with suppress(queue.Full):
                blocks.put(block, timeout=_POLL_S)
                return

    def produce() -> None:
        try:
            for block in read:
                put(block)
                if left.is_set():
                    return
            put(b"")
        except AsrqError as error:
            put(error)

    threading.Thread(target=produce, name="fetch", daemon=True).start()
    try:
        began = heard = time.monotonic()
        received = 0
        while True:
            check()
            try:
                block = blocks.get(timeout=_POLL_S)
            except queue.Empty:
                if time.monotonic() - heard > _STALL_S:
                    raise FetchError(f"No data came from the URL for {_STALL_S:g} s.") from None
                continue
            if isinstance(block, AsrqError):
                raise block
            if not block:
                return
            yield block
            heard = time.monotonic()
            received += len(block)
            if heard - began > _SLOWEST_S + received / _SLOWEST:
                raise FetchError(f"The URL sends too slowly: {received} bytes in {heard - began:.0f} s.")
    finally:
        left.set()


def _reader(url: str, rules: Rules) -> Iterator[bytes]:
    scheme, rest = check_scheme(url, rules.schemes), url.partition("://")[2]
    if scheme in web.SCHEMES:
        return web.read(url, schemes=rules.schemes, private_hosts=rules.private_hosts)
    return _through_fsspec(f"{scheme}://{rest}", rules.private_hosts)


def write(url: str, content: bytes, rules: Rules) -> None:
    """Put a file in a store, through fsspec, in the place of what was there. Blocks.

    Raises:
        UrlNotAllowedError: the scheme is not listed or not known, or the host not public.
        DeliveryRefusedError: fsspec needs a package for the scheme.
        DeliveryError: the store does not take it.
    """
    import fsspec

    scheme = check_scheme(url, rules.schemes)
    _look_at(url, rules.private_hosts)
    try:
        files, path = fsspec.url_to_fs(f"{scheme}://{url.partition('://')[2]}")
        files.pipe_file(path, content)
    except ImportError as error:
        raise DeliveryRefusedError(f"URLs of the scheme {scheme!r} need a package: {error}.", hint=_INSTALL) from None
    except Exception as error:  # each file system raises errors of its own library
        raise DeliveryError(f"The transcript was not delivered: {type(error).__name__}: {error}") from error


def _through_fsspec(url: str, private_hosts: bool) -> Iterator[bytes]:
    import fsspec

    scheme = url.partition(":")[0]
    _look_at(url, private_hosts)
    try:
        files, path = fsspec.url_to_fs(url)
        with files.open(path, "rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except FileNotFoundError:
        raise AudioNotFoundError("There is nothing at the URL.") from None
    except ImportError as error:
        raise ExtraMissingError(f"URLs of the scheme {scheme!r} need a package: {error}.", hint=_INSTALL) from None
    except Exception as error:  # each file system raises errors of its own library
        raise FetchError(f"Reading the URL failed: {type(error).__name__}: {error}") from error


def look_at(url: str, rules: Rules) -> None:
    """Refuse an address that could not be used, as far as can be told without using it.

    Raises:
        UrlNotAllowedError: it is malformed, its scheme is not known, or its host not public.
    """
    if url.partition("://")[0].lower() in web.SCHEMES:
        web.parse(url, rules.schemes)
    _look_at(url, rules.private_hosts)


def _look_at(url: str, private_hosts: bool) -> None:
    """Refuse a scheme that fsspec does not know, and a host that resolves to a private address; what does not resolve
    is a bucket or the like.
    """
    import fsspec

    if (scheme := url.partition(":")[0].lower()) not in fsspec.available_protocols():
        raise UrlNotAllowedError(f"fsspec knows no URLs of the scheme {scheme!r}.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 0
    except ValueError:
        raise UrlNotAllowedError("The URL is malformed.") from None
    if host:
        with suppress(FetchError):
            resolve(host, port, private_hosts=private_hosts)
