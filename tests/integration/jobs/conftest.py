"""A server for scripts alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from integration.jobs.lua_state import Server
from redis import Redis


@pytest.fixture
def server(valkey_url: str) -> Iterator[Server]:
    """An empty Valkey."""
    with Redis.from_url(valkey_url, decode_responses=True) as redis:
        yield Server(redis)
