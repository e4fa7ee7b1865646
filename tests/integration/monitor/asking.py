"""Asks what a real worker or reaper serves over HTTP."""

from __future__ import annotations

import http.client
import json
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
