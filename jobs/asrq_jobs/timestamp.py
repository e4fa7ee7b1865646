"""Points in time as documents and RQ's hashes have them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(at: float) -> str:
    """Return a Unix time as RQ writes it: ISO 8601 in UTC, with microseconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
