"""The published test vectors, run as a client in another language would: a bare socket and the files of the repository.

Nothing of asrq is imported here; the documents under `requests` are checked in test_request_vectors.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

REPO = Path(__file__).resolve().parents[3]
BOOK = json.loads((REPO / "docs" / "reference" / "vectors.json").read_text(encoding="utf-8"))
SCRIPTS = {name: (REPO / path).read_bytes() for name, path in BOOK["scripts"].items()}


class ServerError(Exception):
    """An error reply."""


class Resp:
    """RESP2 over a socket."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port), timeout=5)
        self._lines = self._socket.makefile("rb")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def __call__(self, *command: bytes) -> Any:
        parts = [b"*%d\r\n" % len(command), *(b"$%d\r\n%s\r\n" % (len(part), part) for part in command)]
        self._socket.sendall(b"".join(parts))
        return self._reply()

    def _reply(self) -> Any:
        line = self._lines.readline()
        kind, rest = line[:1], line[1:-2]
        match kind:
            case b"+":
                return rest.decode()
            case b"-":
                raise ServerError(rest.decode())
            case b":":
                return int(rest)
            case b"$" if int(rest) < 0:
                return None
            case b"$":
                return self._lines.read(int(rest) + 2)[:-2].decode()
            case b"*" if int(rest) < 0:
                return None
            case b"*":
                return [self._reply() for _ in range(int(rest))]
        raise AssertionError(f"not RESP: {line!r}")


def run_script(resp: Resp, source: bytes, keys: list[bytes], args: list[bytes]) -> Any:
    tail = [str(len(keys)).encode(), *keys, *args]
    try:
        return resp(b"EVALSHA", hashlib.sha1(source, usedforsecurity=False).hexdigest().encode(), *tail)
    except ServerError as error:
        if not str(error).startswith("NOSCRIPT"):
            raise
        return resp(b"EVAL", source, *tail)


def to_send(value: str | dict[str, Any]) -> bytes:
    if isinstance(value, str):
        return value.encode()
    ((kind, content),) = value.items()
    match kind:
        case "$json":
            return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        case "$hex":
            return bytes.fromhex(content)
        case "$repeat":
            return content[0].encode() * content[1]
    raise AssertionError(f"unknown form {kind}")


def check(expected: Any, got: Any, where: str) -> None:
    """Compare by the rules that the vectors' `about` states."""
    if isinstance(expected, dict) and len(expected) == 1 and (kind := next(iter(expected))).startswith("$"):
        check_form(kind, expected[kind], got, where)
    elif isinstance(expected, dict):
        assert isinstance(got, dict), where
        assert sorted(expected) == sorted(got), where
        for name, value in expected.items():
            check(value, got[name], f"{where}.{name}")
    elif isinstance(expected, list):
        assert isinstance(got, list), where
        assert len(expected) == len(got), f"{where}: {got}"
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            check(one, other, f"{where}[{index}]")
    else:
        assert expected == got, where


def check_form(kind: str, content: Any, got: Any, where: str) -> None:
    match kind:
        case "$json":
            check(content, json.loads(got), where)
        case "$map":
            check(content, dict(zip(got[::2], got[1::2], strict=True)), where)
        case "$events":
            assert all(fields[0] == "event" and len(fields) == 2 for _, fields in got), where
            check(content, [json.loads(fields[1]) for _, fields in got], where)
        case "$regex":
            assert re.search(content, got), f"{where}: {got}"
        case "$number":
            assert isinstance(got, int | float), where
        case "$range":
            assert content[0] <= got <= content[1], where
        case "$error":
            assert isinstance(got, ServerError), f"{where}: {got}"
            assert str(got).startswith(content), f"{where}: {got}"
        case _:
            raise AssertionError(f"unknown form {kind}")


@pytest.mark.parametrize("vector", BOOK["vectors"], ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any], server_url: str, sent: Callable[[str, bytes], bytes]) -> None:
    resp = Resp(server_url)
    try:
        for number, step in enumerate(vector["steps"], 1):
            wrong: ServerError | None = None
            try:
                if "send" in step:
                    got = resp(*map(to_send, step["send"]))
                else:
                    keys, args = [list(map(to_send, step[part])) for part in ("keys", "args")]
                    got = run_script(resp, sent(step["script"], SCRIPTS[step["script"]]), keys, args)
            except ServerError as error:
                wrong = error
            check(step["expect"], wrong or got, f"{vector['name']}, step {number}")
    finally:
        resp.close()
