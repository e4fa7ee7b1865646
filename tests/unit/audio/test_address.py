"""Which addresses URLs may lead to."""

from __future__ import annotations

import socket

import pytest

from asrq_jobs.errors import FetchError, UrlNotAllowedError
from asrq_worker.audio.address import _is_public, resolve


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::6810:84e5", "::ffff:8.8.8.8"])
def test_public(address: str) -> None:
    assert _is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104  # an address to refuse
        "10.0.0.7",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
    ],
)
def test_not_public(address: str) -> None:
    assert not _is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "::1"])
def test_every_spelling_of_loopback_is_refused(host: str) -> None:
    try:
        with pytest.raises(UrlNotAllowedError, match="not public") as raised:
            resolve(host, 80, private_hosts=False)
    except FetchError:  # this system's resolver does not know the spelling, or has no IPv6
        return
    assert raised.value.hint


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: found)
    with pytest.raises(UrlNotAllowedError, match=r"10\.0\.0\.1"):
        resolve("mixed.example", 80, private_hosts=False)
    assert resolve("mixed.example", 80, private_hosts=True) == ["8.8.8.8", "10.0.0.1"]


def test_a_host_that_does_not_resolve_may_do_so_later() -> None:
    with pytest.raises(FetchError, match="cannot be found"):
        resolve("nowhere.invalid", 80, private_hosts=False)


def test_what_cannot_be_a_host_name_is_refused() -> None:
    with pytest.raises(UrlNotAllowedError):
        resolve("a" * 300 + ".example", 80, private_hosts=False)
