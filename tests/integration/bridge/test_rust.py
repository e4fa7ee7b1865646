"""The example application of docs/how-to/clients/rust-bridge, run as a program through what may happen to a bridge."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from .app import PROGRAM, all_gone, environment

CRATE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "clients" / "rust-bridge"

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, compiled."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not here")
    target = tmp_path_factory.mktemp("target")
    build = [cargo, "build", "--quiet", "--locked", "--offline", "--target-dir", str(target)]
    done = subprocess.run(build, cwd=CRATE, capture_output=True, text=True, check=True)
    assert done.stderr == "", "it compiles without a warning"
    return target / "debug" / "asrq-bridge-client"


@pytest.fixture
def run(program: Path, tmp_path: Path) -> Iterator[Run]:
    """Start the example around a bridge on the fake backend; both are gone after the test."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: object, model: str = "m", asrq: Path = PROGRAM) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [program, "--program", str(asrq), *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", cwd=tmp_path,
            env=environment(backend="fake", model=model, log_level="error"),
        )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read what the example says until a line has these words."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if words in line:
            return said
    raise AssertionError(f"{words!r} did not come: {said}")


def test_it_recovers_from_the_death_of_its_bridge(run: Run, data: Path) -> None:
    files = [data / "hello-en.flac", data / "hello-ru.flac"]
    app = run("--kill-once", *files)
    read_until(app, "queued")
    below = psutil.Process(app.pid).children(recursive=True)
    assert below
    said = read_until(app, "the bridge died; started again with 2 request(s)")
    assert "ready: fake m on cpu" in said
    read_until(app, "queued")
    below += psutil.Process(app.pid).children(recursive=True)
    out, err = app.communicate(timeout=120)
    assert app.returncode == 0, err
    texts = dict(line.rsplit(": ", 1) for line in out.splitlines())
    assert sorted(texts) == sorted(map(str, files))
    assert all(texts.values())
    assert all_gone(below)


def test_a_file_that_is_no_audio(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("This is a text, not a recording.", encoding="utf-8")
    app = run("notes.wav", data / "hello-en.flac")  # relative to its own folder
    out, err = app.communicate(timeout=120)
    assert app.returncode == 1
    assert out.startswith(f"{data / 'hello-en.flac'}: ")
    assert "[audio_unreadable]" in err


def test_the_bridge_cannot_serve(run: Run, data: Path, tmp_path: Path) -> None:
    app = run(data / "hello-en.flac", model="missing")
    _, err = app.communicate(timeout=120)
    assert app.returncode == 1  # the file's result says why
    assert "[model_missing]" in err
    assert "asrq models fetch" in err
    app = run(data / "hello-en.flac", asrq=tmp_path / "not-installed")
    assert "does not start" in app.communicate(timeout=120)[1]
    assert app.returncode == 3


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_the_application_is_killed(run: Run, data: Path) -> None:
    app = run(data / "hello-en.flac", model="sleep:0.1")
    read_until(app, "ready")
    below = psutil.Process(app.pid).children(recursive=True)
    app.send_signal(signal.SIGKILL)
    assert all_gone(below)


def test_usage(run: Run) -> None:
    for arguments in ([], ["--colour", "a"], ["--program"]):
        app = run(*arguments)
        assert "usage:" in app.communicate(timeout=120)[1]
        assert app.returncode == 2
