"""A worker that cannot write: it takes nothing, what it took costs nothing, it says so, and goes on by itself."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import free_port
from integration.monitor.asking import ask, failing, fetch
from support.processes import Process, worker
from support.waiting import until

from asrq_jobs import Client, PathAudio, keys
from asrq_jobs.errors import StorageError
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.monitor.check import worker_problem
from asrq_worker.programs import one_shot
from asrq_worker.reaper.reaper import Reaper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such file systems there")

JOBS = 12


@contextmanager
def _disk(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of the test's own."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "asrq-test", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with _disk(tmp_path / "disk", "size=8m,nr_inodes=200") as folder:
        yield folder


@pytest.fixture
def long_audio(tmp_path: Path) -> Path:
    """Five minutes: 19 MB, once decoded."""
    path = tmp_path / "long" / "silence.wav"
    path.parent.mkdir()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(300 * 8000 * 2))
    return path


def _fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))


def _use_up_inodes(disk: Path) -> None:
    (disk / "fillers").mkdir()
    with suppress(OSError):
        for number in range(1000):
            (disk / "fillers" / str(number)).touch()


def _make_room(disk: Path) -> None:
    (disk / "filler").unlink(missing_ok=True)
    shutil.rmtree(disk / "fillers", ignore_errors=True)


def _remount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)


@dataclass(frozen=True)
class Trouble:
    """What befalls a disk, and how it ends."""

    strike: Callable[[Path], None]
    fix: Callable[[Path], None]
    reason: int


TROUBLES = {
    "full": Trouble(_fill, _make_room, errno.ENOSPC),
    "no inodes": Trouble(_use_up_inodes, _make_room, errno.ENOSPC),
    "read-only": Trouble(lambda disk: _remount(disk, "ro"), lambda disk: _remount(disk, "rw"), errno.EROFS),
}


def _state_in_redis(client: Client) -> tuple[str, str | None]:
    [status] = client.redis.hvals(keys.WORKERS)
    told = json.loads(status)
    return told["state"], told["problem"]


def _all_completed_at_once(client: Client, ids: list[str]) -> list[Result]:
    results = [client.wait(job_id, timeout_s=120) for job_id in ids]
    assert {(result.status, len(result.attempts)) for result in results} == {("completed", 1)}
    return results


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_it_takes_nothing_until_there_is_room(
    client: Client, valkey_url: str, data: Path, disk: Path, trouble: Trouble
) -> None:
    port = free_port()
    settings = {"spool_dir": disk, "metrics_port": port, "lanes": "batch:4", "lease_s": 3, "worker_name": "box"}
    with worker(valkey_url, **settings) as running:
        before = set(disk.rglob("*"))
        blob = client.upload(data / "hello-en.flac")
        assert client.wait(client.submit(blob).id, timeout_s=50).status == "completed"
        until(lambda: set(disk.rglob("*")) <= before)  # files are removed after the end, and leave room for others
        assert failing(port) == []
        trouble.strike(disk)
        ids = [client.submit(blob).id for _ in range(JOBS)]
        running.wait_for("storage.unusable")
        until(lambda: failing(port) == ["state", "storage"])
        until(lambda: _state_in_redis(client)[0] == "blocked")
        assert _state_in_redis(client)[1]
        assert "The worker is blocked." in str(worker_problem(Settings(redis_url=valkey_url, metrics_port=port)))
        told = str(worker_problem(Settings(redis_url=valkey_url, worker_name="box")))
        assert told.startswith("The worker is blocked. ")
        assert os.strerror(trouble.reason) in told or "has room for" in told
        assert ask(port, "/healthz")[0] == 200  # a restart would fix nothing
        assert b"\nasrq_storage_usable 0.0\n" in fetch(port, "/metrics")[1]
        assert {client.state(job_id).status for job_id in ids} == {"queued"}
        trouble.fix(disk)
        _all_completed_at_once(client, ids)
        running.wait_for("storage.usable")
        until(lambda: failing(port) == [])
        assert running.end() == 0
    assert sum(line["event"] == "storage.unusable" for line in running.lines) == 1


def test_a_broken_worker_leaves_the_jobs_to_a_healthy_one(
    client: Client, valkey_url: str, data: Path, disk: Path
) -> None:
    with (
        worker(valkey_url, spool_dir=disk, lanes="batch:4", worker_name="broken") as broken,
        worker(valkey_url, lanes="batch:1", worker_name="healthy"),
    ):
        _fill(disk)
        blob = client.upload(data / "hello-en.flac")
        results = _all_completed_at_once(client, [client.submit(blob).id for _ in range(JOBS)])
        assert all(str(result.worker and result.worker.name).startswith("healthy") for result in results)
        assert broken.process.poll() is None


def test_a_folder_that_is_removed_under_it_is_made_again(
    client: Client, valkey_url: str, data: Path, tmp_path: Path
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with worker(valkey_url, spool_dir=tmp_path / "spool", lanes="batch:2", parallel=2) as running:
        blob = client.upload(data / "hello-en.flac")
        inside = client.submit(blob, prompt=f"touch:{begun} until:{gate}").id
        until(begun.exists)
        shutil.rmtree(tmp_path / "spool")
        _all_completed_at_once(client, [client.submit(blob).id for _ in range(JOBS)])
        gate.touch()
        _all_completed_at_once(client, [inside])
        assert running.end() == 0
    assert list((tmp_path / "spool").iterdir()) == []


def test_audio_that_is_removed_before_the_engine_reads_it_costs_no_attempt(
    client: Client, valkey_url: str, data: Path, tmp_path: Path
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with worker(valkey_url, spool_dir=tmp_path / "spool", lanes="batch:2", parallel=1):
        blob = client.upload(data / "hello-en.flac")
        first = client.submit(blob, prompt=f"touch:{begun} until:{gate}").id
        until(begun.exists)
        second = client.submit(blob).id
        until(lambda: sum(path.suffix == ".f32" for path in (tmp_path / "spool").rglob("*")) == 2)
        shutil.rmtree(tmp_path / "spool")
        gate.touch()
        _all_completed_at_once(client, [first, second])
        codes = [event.error.code for event in client.events(second) if event.error]
        assert set(codes) <= {StorageError.code}


def test_a_job_that_is_too_large_for_the_disk_fails_and_others_go_on(
    client: Client, valkey_url: str, data: Path, disk: Path, long_audio: Path
) -> None:
    settings = {"spool_dir": disk, "lanes": "batch:1", "audio_roots": long_audio.parent, "retry_delay_s": 0.1}
    with Reaper(client.redis, client.settings), worker(valkey_url, **settings) as running:
        too_large = client.submit(PathAudio(path=str(long_audio)), retries=1).id
        result = client.wait(too_large, timeout_s=90)
        assert result.error is not None
        assert (result.status, result.error.code, len(result.attempts)) == ("failed", "no_room", 2)
        assert "ASRQ_SPOOL_DIR" in (result.error.hint or "")
        assert client.wait(client.submit_file(data / "hello-en.flac").id, timeout_s=50).status == "completed"
        assert running.end() == 0


def test_without_a_queue_each_file_says_so(disk: Path, data: Path) -> None:
    _fill(disk)
    settings = Settings(backend="fake", model="m", spool_dir=disk, decoders=1)
    [result] = one_shot.transcribe(settings, [data / "hello-en.flac"])
    assert result.error is not None
    assert (result.status, result.error.code) == ("failed", "storage_unusable")


def test_a_model_that_has_no_room_is_waited_for_at_the_start(
    client: Client, valkey_url: str, data: Path, tmp_path: Path
) -> None:
    room = tmp_path / "room"
    env = {"ASRQ_REDIS_URL": valkey_url, "ASRQ_DECODERS": "1", "ASRQ_LANES": "batch:1"}
    running = Process("worker", "--backend", "fake", "--model", f"no-room-unless:{room}", env=env)
    try:
        assert running.wait_for("engine.failed")["code"] == "storage_unusable"
        until(lambda: client.redis.hlen(keys.WORKERS) and _state_in_redis(client)[1] is not None)
        assert _state_in_redis(client) == ("loading", "There is no room for the model.")
        room.touch()
        running.wait_for("worker.ready")
        assert client.wait(client.submit_file(data / "hello-en.flac").id, timeout_s=50).status == "completed"
        assert running.end() == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(60)


def test_a_model_that_has_no_room_later_costs_no_attempt(
    client: Client, valkey_url: str, data: Path, tmp_path: Path
) -> None:
    room, port = tmp_path / "room", free_port()
    room.touch()
    settings = {"model": f"no-room-unless:{room}", "lanes": "batch:2", "metrics_port": port, "lease_s": 3}
    with worker(valkey_url, **settings) as running:
        room.unlink()
        running.child("asrq_worker.engine.child").kill()
        running.wait_for("engine.failed")
        until(lambda: running.lines[-1].get("code") == "storage_unusable" or "storage" in failing(port))
        ids = [client.submit_file(data / "hello-en.flac").id for _ in range(4)]
        until(lambda: _state_in_redis(client)[0] == "blocked")
        assert "storage" in failing(port)
        room.touch()
        _all_completed_at_once(client, ids)
        until(lambda: failing(port) == [])
