"""The published conversations with the bridge, held as an application in another language would.

Nothing of asrq is imported here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[3]
BOOK = json.loads((REPO / "docs" / "reference" / "bridge-vectors.json").read_text(encoding="utf-8"))
PROGRAM = Path(sys.executable).with_name("asrq")


def filled(value: Any) -> Any:
    """What is to be sent, with the places filled in."""
    match value:
        case {"$path": name}:
            return str(REPO / "tests" / "data" / name)
        case {"$repeat": [text, times]}:
            return text * times
        case dict():
            return {name: filled(inner) for name, inner in value.items()}
    return value


def fits(found: Any, wanted: Any) -> bool:
    """Whether something received is what was to come."""
    match wanted:
        case {"$regex": pattern}:
            return isinstance(found, str) and re.search(pattern, found) is not None
        case {"$number": True}:
            return isinstance(found, int | float) and not isinstance(found, bool)
        case {"$has": value}:
            return isinstance(found, list) and value in found
        case dict():
            return isinstance(found, dict) and all(
                name in found and fits(found[name], inner) for name, inner in wanted.items()
            )
    return bool(found == wanted)


@pytest.mark.parametrize("vector", BOOK["vectors"], ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any], tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.upper().startswith("ASRQ_")}
    bridge = subprocess.Popen(
        [PROGRAM, "bridge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path,
        env=clean | BOOK["settings"] | vector.get("settings", {}),
    )  # fmt: skip
    assert bridge.stdin is not None
    assert bridge.stdout is not None
    guard = threading.Timer(30, bridge.kill)  # a line that never comes ends the test, as the end of the stream
    guard.start()
    try:
        for number, line in enumerate(vector["lines"]):
            match line:
                case {"send": message}:
                    bridge.stdin.write(json.dumps(filled(message)).encode() + b"\n")
                    bridge.stdin.flush()
                case {"send_text": text}:
                    bridge.stdin.write(filled(text).encode() + b"\n")
                    bridge.stdin.flush()
                case {"close": True}:
                    bridge.stdin.close()
                case {"exit": code}:
                    assert [told for told in map(json.loads, bridge.stdout) if told["op"] != "event"] == []
                    assert bridge.wait(5) == code
                case {"receive": wanted}:
                    found = json.loads(bridge.stdout.readline() or "null")
                    while found is not None and found["op"] == "event" and not fits(found, wanted):
                        found = json.loads(bridge.stdout.readline() or "null")
                    assert fits(found, wanted), f"line {number}: {found} for {wanted}"
                case _:
                    pytest.fail(f"line {number} is none of the book's: {line}")
    finally:
        guard.cancel()
        bridge.kill()
        bridge.wait(5)
        bridge.stdin.close()
        bridge.stdout.close()


def test_every_op_is_there() -> None:
    lines = [line for vector in BOOK["vectors"] for line in vector["lines"]]
    sent = {line["send"]["op"] for line in lines if "send" in line}
    received = {line["receive"]["op"] for line in lines if "receive" in line}
    assert sent >= {"transcribe", "cancel", "blob", "audio", "end", "ping", "status", "shutdown"}
    assert received == {"loading", "ready", "event", "result", "pong", "status", "error"}
