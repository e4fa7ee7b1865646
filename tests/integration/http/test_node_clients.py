"""Packages of npm that speak OpenAI's API, unchanged, against the gateway and a real worker."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import REPO
from support.needs import missing
from support.processes import worker

PROGRAMS = Path(__file__).with_name("node")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs with their packages."""
    npm = shutil.which("npm") or missing("npm")
    folder = tmp_path_factory.mktemp("clients") / "node"
    shutil.copytree(PROGRAMS, folder, ignore=shutil.ignore_patterns("node_modules"))
    install = [npm, "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    if subprocess.run(install, cwd=folder, check=False, timeout=120).returncode:
        missing("the clients of OpenAI's API (npm ci)")
    return folder


def run(program: Path, address: str, audio: Path) -> dict[str, Any]:
    node = shutil.which("node") or missing("node")
    command = [node, str(program), f"{address}/v1", str(audio)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_the_official_package(programs: Path, address: str, valkey_url: str, data: Path) -> None:
    with worker(valkey_url, model="fake-model"):
        got = run(programs / "openai.mjs", address, data / "hello-en.flac")
    text = got["text"]
    assert len(text) == 12  # as the fake backend says it
    assert got["verbose"]["text"] == got["whole"] == "".join(got["deltas"]) == text
    assert [word["word"] for word in got["verbose"]["words"]] == [text]
    assert got["verbose"]["language"] == "english"
    assert got["subtitles"].startswith("1\n00:00:0")
    assert got["refused"] == {"kind": "NotFoundError", "status": 404, "code": "not_served"}
    assert {"whisper-1", "fake-model"} <= set(got["models"])


def test_another_client_of_the_api(programs: Path, address: str, valkey_url: str, data: Path) -> None:
    with worker(valkey_url):
        got = run(programs / "ai.mjs", address, data / "hello-en.flac")
    assert len(got["text"]) == 12
    assert got["language"] == "en"
    assert [segment["text"].strip() for segment in got["segments"]] == [got["text"]]
    assert 0 < got["segments"][0]["endSecond"] <= got["durationInSeconds"]
    assert got["refused"]["status"] == 400
    assert "not audio" in got["refused"]["message"]


def test_the_program_of_the_how_to(programs: Path, address: str, valkey_url: str, data: Path) -> None:
    page = (REPO / "docs" / "how-to" / "use-openai-clients.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```js\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (programs / "shown.mjs").write_text(shown.replace("http://127.0.0.1:8080", address), encoding="utf-8")
    shutil.copy(data / "hello-en.flac", programs / "talk.mp3")
    node = shutil.which("node") or missing("node")
    with worker(valkey_url):
        done = subprocess.run([node, "shown.mjs"], cwd=programs, capture_output=True, text=True, timeout=60, check=True)
    assert len(done.stdout.strip()) == 12
