"""Which network addresses a URL may lead to: none that only this host or its neighbours can reach."""

from __future__ import annotations

import ipaddress
import socket

from asrq_jobs.errors import FetchError, UrlNotAllowedError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits


def resolve(host: str, port: int, *, private_hosts: bool) -> list[str]:
    """Return the addresses of a host, having looked at every one; connect to these and nothing else.

    A name looked up a second time may have another address (DNS rebinding).

    Raises:
        UrlNotAllowedError: one of them is private, loopback, link-local, multicast or reserved.
        FetchError: the name does not resolve.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise UrlNotAllowedError(f"{host!r} is not a host name.") from None
    except OSError as error:
        raise FetchError(f"The host {host} cannot be found: {error.strerror}.") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not (private_hosts or _is_public(address)):
            raise UrlNotAllowedError(
                f"The host {host} has the address {address}, which is not public.",
                hint="Upload the audio, or ask the operator to set ASRQ_URL_PRIVATE_HOSTS.",
            )
    return addresses


def _is_public(text: str) -> bool:
    """Return whether an IP address, or the IPv4 address that an IPv6 one stands for, is reachable by everyone."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in _NAT64:
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded:
            address = embedded
    return address.is_global and not (address.is_multicast or address.is_reserved)
