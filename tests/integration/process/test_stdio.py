"""Lines in and out."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from asrq_worker.process.stdio import lines

_NOISY = """
import os, subprocess, sys
from asrq_worker.process.stdio import Stdio
{before}
stdio = Stdio()
print("printed")
os.write(1, b"written\\n")
subprocess.run([sys.executable, "-c", "print('by a child')"])
stdio.send({{"said": "\\u0420\\u0435\\u0447\\u044c"}})
print(repr(sys.stdin.read()), stdio.incoming.readline())
sys.stdout.flush()
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", []),
        (b"\n\n", [b"\n", b"\n"]),
        (b"one\ntwo\n", [b"one\n", b"two\n"]),
        (b"one\ncut of", [b"one\n"]),
        (b"12345678\n123456789\n123\n", [b"12345678\n", None, b"123\n"]),
        (b"x" * 17 + b"\n" + b"x" * 16 + b"\n1\n", [None, None, b"1\n"]),
        (b"1\n" + b"x" * 100, [b"1\n", None]),
    ],
)
def test_lines_up_to_a_length(text: bytes, found: list[bytes | None]) -> None:
    assert list(lines(io.BytesIO(text), 8)) == found


def test_nothing_disturbs_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NOISY.format(before="")], input=b"a line\n", capture_output=True, check=True, timeout=30
    )
    assert json.loads(done.stdout) == {"said": "Речь"}
    assert set(done.stderr.decode().splitlines()) == {"printed", "written", "by a child", "'' b'a line\\n'"}


def test_without_standard_error() -> None:
    without = "os.close(2); sys.stderr = None"
    done = subprocess.run(
        [sys.executable, "-c", _NOISY.format(before=without)], input=b"", capture_output=True, check=True, timeout=30
    )
    assert json.loads(done.stdout) == {"said": "Речь"}
    assert done.stderr == b""


@pytest.mark.skipif(sys.platform == "win32", reason="streams are closed in other ways there")
def test_an_input_that_was_closed_from_the_start_is_at_its_end() -> None:
    program = Path(sys.executable).with_name("asrq")
    done = subprocess.run(
        ["sh", "-c", '"$0" bridge --backend fake --model m <&-', program],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert '"op":"loading"' in done.stdout.splitlines()[0]
