"""Where a server of ours listens: the family of its address, and the address as people and URLs write it."""

from __future__ import annotations

import socket


def family(host: str) -> socket.AddressFamily:
    """Return the family of an address to listen on; that of a name is IPv4."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def written(host: str, port: int) -> str:
    """Return host and port as one word: an IPv6 address has colons of its own, and so stands in brackets (RFC 3986)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
