"""Where a server of ours listens: the family of its address, who can reach it, and how people and URLs write it."""

from __future__ import annotations

import ipaddress
import socket


def family(host: str) -> socket.AddressFamily:
    """Return the family of an address to listen on; that of a name is IPv4."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def written(host: str, port: int) -> str:
    """Return host and port as one word: an IPv6 address has colons of its own, and so is put in brackets (RFC 3986)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_private(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(name: str) -> bool:
    """Whether a host is called by its address or `localhost`, which no web page can give a meaning of its own."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return True


def called(host: str) -> str:
    """Return how this machine calls what listens on an address; what listens on all of them has loopback, too."""
    if host == "localhost" or not is_address(host) or not ipaddress.ip_address(host).is_unspecified:
        return host
    return "::1" if ":" in host else "127.0.0.1"
