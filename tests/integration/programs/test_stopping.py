"""Stopping is the same from a terminal, a service manager and a container engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from support.needs import missing
from support.processes import PROGRAM, all_gone

from asrq_jobs import Client
from asrq_jobs.settings import Settings
from asrq_worker.process.shutdown import StopSignals
from asrq_worker.programs import worker as program
from asrq_worker.queue.execution import Execution
from asrq_worker.queue.loop import Loop

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these signals")


def terminal(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C reaches every process of the group."""
    os.killpg(process.pid, signal.SIGINT)


def control_group(process: subprocess.Popen[bytes]) -> None:
    """A service manager that signals every process of the service (systemd's default; our units ask for less)."""
    parent = psutil.Process(process.pid)
    for each in [*parent.children(recursive=True), parent]:
        each.send_signal(signal.SIGTERM)


def process_1(process: subprocess.Popen[bytes]) -> None:
    """An engine signals process 1 alone, which the kernel treats unlike any other: what it does not handle is lost."""
    [first] = psutil.Process(process.pid).children()
    first.send_signal(signal.SIGTERM)


NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child")
WAYS = [((), terminal), ((), control_group), (NAMESPACE, process_1)]


@pytest.mark.parametrize(("inside", "stop"), WAYS, ids=["terminal", "control group", "process 1"])
def test_what_runs_is_finished_and_nothing_is_left(
    client: Client,
    data: Path,
    tmp_path: Path,
    inside: tuple[str, ...],
    stop: Callable[[subprocess.Popen[bytes]], None],
) -> None:
    if inside and subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        missing("a namespace for processes")
    gate = tmp_path / "gate"
    env = {**os.environ, "ASRQ_BACKEND": "fake", "ASRQ_MODEL": "m", "ASRQ_LANES": "batch:1", "ASRQ_DECODERS": "1"}
    with subprocess.Popen([*inside, PROGRAM, "worker"], env=env, start_new_session=True) as process:
        try:
            job = client.submit_file(data / "hello-en.flac", prompt=f"until:{gate}")
            assert any(event.type == "started" for event in client.events(job.id, timeout_s=30))
            everyone = psutil.Process(process.pid).children(recursive=True)
            assert len(everyone) >= 2  # a decoder and the engine
            stop(process)
            gate.touch()
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert all_gone(everyone)
    assert client.wait(job.id, timeout_s=1).status == "completed"
    assert client.workers() == {}


def test_a_signal_that_strikes_as_the_first_job_may_be_taken_is_one_to_drain(
    client: Client, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, before = Loop.start, psutil.Process().children()

    def start_and_be_struck(loop: Loop) -> None:
        start(loop)
        if loop.name.endswith(".batch.1"):
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Loop, "start", start_and_be_struck)
    settings = Settings(redis_url=valkey_url, backend="fake", model="m", lanes="batch:1", decoders=1)
    with StopSignals() as shutdown:
        program.run(settings, shutdown)
    assert client.workers() == {}
    assert psutil.Process().children() == before


def test_what_cannot_be_handed_in_is_tried_as_long_as_there_is_grace_and_keeps_nobody_any_longer(
    client: Client, valkey_url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, draining, tried_again = threading.Event(), threading.Event(), threading.Event()

    def away(*_: object, **__: object) -> bool:
        (tried_again if draining.is_set() else tried).set()
        raise RedisConnectionError("away")

    monkeypatch.setattr(Execution, "end", away)
    settings = Settings(redis_url=valkey_url, backend="fake", model="m", lanes="batch:1", decoders=1, grace_s=3)
    worker = program.WorkerProcess(settings, shutdown=lambda: None)
    worker.start()
    client.submit_file(data / "hello-en.flac")
    assert tried.wait(30)
    draining.set()
    worker.close()
    assert tried_again.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(worker.name)]
