"""The example clients of docs/how-to/clients, run as programs through everything that may happen to a job."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from redis import Redis

from asrq_jobs import Client, keys
from asrq_jobs.errors import AudioUnreadableError, all_errors
from asrq_jobs.events import Event

from .conftest import CLIENTS, ScriptedWorker, Start


def test_text(start: Start, scripted: ScriptedWorker, redis: Redis, recording: Path) -> None:
    client = start(recording, "--lang", "ru")
    execution = scripted.take()
    data = json.loads(redis.hget(keys.job(execution.job_id), "data") or b"")
    assert data[2][0]["audio"]["name"] == recording.name
    assert data[2][0]["language"] == "ru"
    assert redis.get(keys.blob(data[2][0]["audio"]["sha256"])) == recording.read_bytes()
    scripted.event(execution, Event(type="progress", at=time.time(), stage="inference", fraction=0.5))
    scripted.complete(execution, ' Откройте "Grafana".\n')
    out, err = client.communicate(timeout=20)
    assert out == 'Откройте "Grafana".\n'
    assert client.returncode == 0
    assert [line.partition(" ")[2] for line in err.splitlines()] == [
        "submitted", "queued", "started", "progress 50 %", "completed",
    ]  # fmt: skip


def test_failed_job(start: Start, scripted: ScriptedWorker, recording: Path) -> None:
    client = start(recording)
    scripted.fail(scripted.take(), AudioUnreadableError("This is a text file."))
    out, err = client.communicate(timeout=20)
    assert (out, client.returncode) == ("", 1)
    assert "This is a text file. [audio_unreadable]" in err
    assert str(AudioUnreadableError.default_hint) in err


def test_outage_while_following(start: Start, scripted: ScriptedWorker, redis: Redis, recording: Path) -> None:
    client = start(recording)
    execution = scripted.take()
    assert client.stderr is not None
    for line in client.stderr:
        if line.endswith("started\n"):
            break
    mine = redis.client_id()
    cut = [other["id"] for other in redis.client_list() if int(other["id"]) != mine and other["cmd"] == "xread"]
    for number in cut:
        redis.client_kill_filter(_id=number)
    assert cut
    scripted.complete(execution, "still here")
    out, err = client.communicate(timeout=20)
    assert out == "still here\n"
    assert [line.partition(" ")[2] for line in err.splitlines()] == ["completed"]  # nothing twice


def test_retried_by_hand_before_it_was_read(
    start: Start, scripted: ScriptedWorker, client: Client, redis: Redis, recording: Path
) -> None:
    """A terminal event whose result has gone is not the end."""
    program = start(recording)
    execution = scripted.take()
    with redis.pipeline(transaction=True) as pipe:  # what retry.lua leaves, as one step: no reader is between
        pipe.xadd(keys.events(execution.job_id), {"event": Event(type="failed", at=0).to_json()})
        pipe.xadd(keys.events(execution.job_id), {"event": Event(type="queued", at=0).to_json()})
        pipe.execute()
    scripted.complete(execution, "second round")
    out, _ = program.communicate(timeout=20)
    assert out == "second round\n"


def test_time_is_up(start: Start, redis: Redis, recording: Path) -> None:
    client = start(recording, "--wait", "1")
    out, err = client.communicate(timeout=20)
    assert (out, client.returncode) == ("", 4)
    assert "[wait_timeout]" in err
    job_id = err.split()[0]
    assert redis.hget(keys.job(job_id), "status") == b"canceled"
    assert redis.llen(keys.queue("interactive")) == 0


def test_cancel(start: Start, client: Client) -> None:
    job = client.submit(client.upload(b"stands for audio"), lane="batch")
    canceling = start("--cancel", job.id)
    assert canceling.communicate(timeout=20)[0] == "canceled\n"
    result = client.wait(job.id, timeout_s=5)
    assert (result.status, result.error and result.error.code) == ("canceled", "canceled")
    again = start("--cancel", job.id)
    assert "[job_state]" in again.communicate(timeout=20)[1]
    assert again.returncode == 1
    assert "[job_not_found]" in start("--cancel", "nobody").communicate(timeout=20)[1]


def test_refused(start: Start, redis: Redis, recording: Path) -> None:
    redis.hset(keys.LIMITS, "depth:interactive", 0)
    client = start(recording)
    _, err = client.communicate(timeout=20)
    assert client.returncode == 1
    assert "[queue_full]" in err


def test_nothing_recorded(start: Start, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert "[audio_empty]" in start(tmp_path / "empty.wav").communicate(timeout=20)[1]
    assert "[audio_not_found]" in start(tmp_path / "missing.wav").communicate(timeout=20)[1]


def test_usage(start: Start) -> None:
    for arguments in ([], ["--colour", "blue"], ["a", "b"], ["a", "--cancel", "b"]):
        client = start(*arguments)
        assert "usage:" in client.communicate(timeout=20)[1]
        assert client.returncode == 2


def test_wrong_password(start: Start, valkey_url: str, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_REDIS_URL", valkey_url.replace("redis://", "redis://nobody:wrong@"))
    client = start(recording)
    _, err = client.communicate(timeout=20)
    assert "[queue_auth]" in err
    assert client.returncode == 3


def test_redis_down(start: Start, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else takes the port
        monkeypatch.setenv("ASRQ_REDIS_URL", f"redis://127.0.0.1:{unheard.getsockname()[1]}")
        client = start(recording)
        _, err = client.communicate(timeout=20)
    assert "[queue_unreachable]" in err
    assert client.returncode == 3


def test_every_error_has_words_for_people() -> None:
    source = (CLIENTS / "rust" / "src" / "asrq.rs").read_text(encoding="utf-8")
    words = source.split("fn for_people")[1].split("\n    }\n}")[0]
    assert [cls.code for cls in all_errors() if cls.code != "usage" and f'"{cls.code}"' not in words] == []


def test_the_crate_tests_itself(tmp_path: Path) -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not here")
    command = [cargo, "test", "--quiet", "--locked", "--offline", "--target-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=CLIENTS / "rust", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
