"""How addresses to listen on are written."""

from __future__ import annotations

import socket

import pytest

from asrq_worker.process import endpoint


@pytest.mark.parametrize(
    ("host", "family", "written"),
    [
        ("127.0.0.1", socket.AF_INET, "127.0.0.1:9181"),
        ("gpu-1", socket.AF_INET, "gpu-1:9181"),
        ("::1", socket.AF_INET6, "[::1]:9181"),
        ("::", socket.AF_INET6, "[::]:9181"),
    ],
)
def test_an_endpoint(host: str, family: socket.AddressFamily, written: str) -> None:
    assert endpoint.family(host) == family
    assert endpoint.written(host, 9181) == written


@pytest.mark.parametrize(
    ("host", "called"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.1", "192.0.2.1"), ("localhost", "localhost"), ("gpu", "gpu")],  # noqa: S104  # nothing is bound
)
def test_what_listens_everywhere_is_called_by_loopback(host: str, called: str) -> None:
    assert endpoint.called(host) == called


@pytest.mark.parametrize(
    ("host", "private"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("192.0.2.1", False), ("gpu-1", False)],
)
def test_only_addresses_of_this_machine_are_private(host: str, private: bool) -> None:
    assert endpoint.is_private(host) is private
