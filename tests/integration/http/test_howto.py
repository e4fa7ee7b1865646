"""What the how-tos show is run as it is written, but for the port."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from conftest import REPO
from support.needs import missing
from support.processes import worker

PAGES = "".join(
    (REPO / "docs" / "how-to" / name).read_text(encoding="utf-8") for name in ("use-openai-clients.md", "serve-http.md")
)


@pytest.fixture
def talk(data: Path, tmp_path: Path) -> Path:
    """The file that the pages speak of, in the test's folder."""
    return Path(shutil.copy(data / "hello-en.flac", tmp_path / "talk.mp3"))


@pytest.mark.usefixtures("talk")
def test_the_commands_and_the_program_work(address: str, valkey_url: str) -> None:
    curl = shutil.which("curl") or missing("curl")
    commands = [line.replace("curl", f"{curl} --silent --show-error --fail", 1)
                for line in re.findall(r"^curl .*$", PAGES, re.MULTILINE)]  # fmt: skip
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGES, re.MULTILINE | re.DOTALL)
    with worker(valkey_url):
        printed = [
            subprocess.run(each, capture_output=True, text=True, check=True, timeout=60).stdout
            for each in (
                *(["sh", "-c", command.replace("http://127.0.0.1:8080", address)] for command in commands),
                [sys.executable, "-c", program.replace("http://127.0.0.1:8080", address)],
            )
        ]
    plain, subtitles, names, submitted, events, result, text = printed
    assert plain == f'{{"text": "{text.strip()}"}}'
    assert text.strip() in subtitles
    assert '"whisper-1"' in names
    assert '"id":"talk-1"' in submitted
    assert "event: completed" in events
    assert text.strip() in result


def test_the_command_says_where_it_listens(valkey_url: str) -> None:
    command = [Path(sys.executable).with_name("asrq"), "http", "--port", "0"]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        address = program.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        taken = [*command[:-1], address.rpartition(":")[2]]
        refused = subprocess.run(taken, capture_output=True, text=True, timeout=30, check=False)
        assert f"Cannot listen on {address.removeprefix('http://')}:" in refused.stderr
        opened = subprocess.run(
            [*command, "--host", "192.0.2.1"], capture_output=True, text=True, timeout=30, check=False
        )
        assert "[invalid_settings]" in opened.stderr
    finally:
        program.terminate()
        assert program.wait(20) == 0


def test_up_starts_it_with_everything_else() -> None:
    command = [
        Path(sys.executable).with_name("asrq"),
        *["up", "--backend", "fake", "--model", "m", "--port", "0", "--http", "0", "--json"],
    ]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        ready = json.loads(program.stdout.readline())
        names = httpx.get(f"{ready['http_url']}/v1/models", timeout=60).json()["data"]
        assert "m" in [model["id"] for model in names]
    finally:
        program.terminate()
        assert program.wait(40) == 0
