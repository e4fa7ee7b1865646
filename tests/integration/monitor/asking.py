"""Asks what a real worker or reaper serves over HTTP."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any


def ask(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """Get a health page: status and document."""
    status, body = fetch(port, path)
    return status, json.loads(body)


def fetch(port: int, path: str) -> tuple[int, bytes]:
    """Get a page: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def failing(port: int, path: str = "/readyz") -> list[str]:
    """Names of the checks that do not hold; ok or not, the status must agree."""
    status, document = ask(port, path)
    names = [check["name"] for check in document["checks"] if not check["ok"]]
    assert (status == 200) == document["ok"] == (not names)
    return names


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that only another process can tell, and only when asked."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)
