"""The example clients of docs/how-to/clients, run as programs through everything that may happen to a job."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer
from support.relay import Relay
from support.waiting import soon, until

from asrq_jobs import Client, keys
from asrq_jobs.calls import canceled
from asrq_jobs.errors import AudioUnreadableError, all_errors
from asrq_jobs.events import Event
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.queue import functions

from .conftest import CLIENTS, Start


def test_text(start: Start, scripted: ScriptedWorker, redis: Redis, recording: Path) -> None:
    client = start(recording, "--lang", "ru", "--track", "2")
    execution = scripted.take()
    data = json.loads(redis.hget(keys.job(execution.job_id), "data") or b"")
    assert data[2][0]["audio"]["name"] == recording.name
    assert data[2][0]["language"] == "ru"
    assert data[2][0]["track"] == 2
    assert redis.get(keys.blob(data[2][0]["audio"]["sha256"])) == recording.read_bytes()
    scripted.event(execution, Event(type="progress", at=time.time(), stage="inference", fraction=0.5))
    scripted.complete(execution, ' Откройте "Grafana".\n')
    out, err = client.communicate(timeout=120)
    assert out == 'Откройте "Grafana".\n'
    assert client.returncode == 0
    assert [line.partition(" ")[2] for line in err.splitlines()] == [
        "queued", "started", "progress 50 %", "completed",
    ]  # fmt: skip


def test_failed_job(start: Start, scripted: ScriptedWorker, recording: Path) -> None:
    client = start(recording)
    scripted.fail(scripted.take(), AudioUnreadableError("This is a text file."))
    out, err = client.communicate(timeout=120)
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

    def cut() -> bool:
        found = [other["id"] for other in redis.client_list() if int(other["id"]) != mine and other["cmd"] == "xread"]
        for number in found:
            redis.client_kill_filter(_id=number)
        return bool(found)

    until(cut)
    scripted.complete(execution, "still here")
    out, err = client.communicate(timeout=120)
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
    out, _ = program.communicate(timeout=120)
    assert out == "second round\n"


def test_time_is_up(start: Start, redis: Redis, recording: Path) -> None:
    client = start(recording, "--wait", "1")
    out, err = client.communicate(timeout=120)
    assert (out, client.returncode) == ("", 4)
    assert "[wait_timeout]" in err
    job_id = err.split()[0]
    assert redis.hget(keys.job(job_id), "status") == b"canceled"
    assert redis.llen(keys.queue("interactive")) == 0


def test_cancel(start: Start, client: Client) -> None:
    job = client.submit(client.upload(b"stands for audio"), lane="batch")
    canceling = start("--cancel", job.id)
    assert canceling.communicate(timeout=120)[0] == "canceled\n"
    result = client.wait(job.id, timeout_s=120)
    assert (result.status, result.error and result.error.code) == ("canceled", "canceled")
    again = start("--cancel", job.id)
    assert "[job_state]" in again.communicate(timeout=120)[1]
    assert again.returncode == 1
    assert "[job_not_found]" in start("--cancel", "nobody").communicate(timeout=120)[1]


def test_refused(start: Start, redis: Redis, recording: Path) -> None:
    redis.hset(keys.LIMITS, "depth:interactive", 0)
    client = start(recording)
    _, err = client.communicate(timeout=120)
    assert client.returncode == 1
    assert "[queue_full]" in err


def test_nothing_recorded(start: Start, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert "[audio_empty]" in start(tmp_path / "empty.wav").communicate(timeout=120)[1]
    assert "[audio_not_found]" in start(tmp_path / "missing.wav").communicate(timeout=120)[1]


def test_usage(start: Start) -> None:
    for arguments in ([], ["--colour", "blue"], ["a", "b"], ["a", "--cancel", "b"]):
        client = start(*arguments)
        assert "usage:" in client.communicate(timeout=120)[1]
        assert client.returncode == 2


def test_wrong_password(start: Start, valkey_url: str, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_REDIS_URL", valkey_url.replace("redis://", "redis://nobody:wrong@"))
    client = start(recording)
    _, err = client.communicate(timeout=120)
    assert "[queue_auth]" in err
    assert client.returncode == 3


def test_redis_down(start: Start, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else takes the port
        monkeypatch.setenv("ASRQ_REDIS_URL", f"redis://127.0.0.1:{unheard.getsockname()[1]}")
        client = start(recording)
        _, err = client.communicate(timeout=120)
    assert "[queue_unreachable]" in err
    assert client.returncode == 3


def test_canceled_from_elsewhere_while_it_runs(start: Start, scripted: ScriptedWorker, recording: Path) -> None:
    client = start(recording)
    execution = scripted.take()
    assert start("--cancel", execution.job_id).communicate(timeout=120)[0] == "requested\n"
    scripted.cancel(execution)
    out, err = client.communicate(timeout=120)
    assert (out, client.returncode) == ("", 1)
    assert "[canceled]" in err


def test_an_outage_longer_than_a_moment(
    start: Start, scripted: ScriptedWorker, valkey_url: str, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Relay(valkey_url) as relay:
        monkeypatch.setenv("ASRQ_REDIS_URL", relay.url)
        client = start(recording)
        assert client.stderr is not None
        execution = scripted.take()
        for line in client.stderr:
            if line.endswith("started\n"):
                break
        relay.down()
        scripted.complete(execution, "still here")
        with soon(relay.up, 3.5):  # beyond the patience for everything but following
            out, err = client.communicate(timeout=60)
    assert (out, [line.partition(" ")[2] for line in err.splitlines()]) == ("still here\n", ["completed"])


def test_every_error_has_words_for_people() -> None:
    """And the same in each client."""
    source = (CLIENTS / "rust" / "src" / "error.rs").read_text(encoding="utf-8")
    arms = source.split("fn for_people")[1].split("\n    }\n}")[0]
    words = {code: sentence for codes, sentence in re.findall(r'((?:"\w+"[\s|]*)+)=>[\s{]*"(.+)"', arms)
             for code in re.findall(r"\w+", codes)}  # fmt: skip
    of_the_command_line, of_the_gateway = (
        {"usage", "output_failed", "voice_unusable"},
        {"unauthorized", "quota_exceeded"},
    )
    assert set(words) == {cls.code for cls in all_errors()} - of_the_command_line - of_the_gateway
    source = (CLIENTS / "node" / "error.mjs").read_text(encoding="utf-8")
    table = source.split("const FOR_PEOPLE")[1].split("\n};")[0].replace('" +\n    "', "")
    assert words == {code: sentence for sentence, codes in re.findall(r'"(.+?)":\s*"(.+)"', table)
                     for code in codes.split()}  # fmt: skip


def test_canceled_by_one_of_rqs_own_tools(start: Start, redis: Redis, client: Client, recording: Path) -> None:
    program = start(recording)
    assert program.stderr is not None
    job_id = program.stderr.readline().split()[0]
    Job.fetch(job_id, connection=redis, serializer=JSONSerializer).cancel()
    out, err = program.communicate(timeout=120)
    assert (out, program.returncode) == ("", 1)
    assert "[canceled]" in err


@pytest.mark.parametrize(
    "command", [("test", "--quiet"), ("clippy", "--quiet", "--all-targets", "--", "-D", "warnings"), ("fmt", "--check")]
)
def test_the_crate_tests_itself(cargo: str, cargo_target: Path, command: tuple[str, ...]) -> None:
    if command[0] != "test" and shutil.which(f"cargo-{command[0]}") is None:
        pytest.skip(f"cargo {command[0]} is not here")
    if command[0] != "fmt":
        command = (command[0], "--locked", "--offline", "--target-dir", str(cargo_target), *command[1:])
    done = subprocess.run([cargo, *command], cwd=CLIENTS / "rust", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_of_the_node_client(node_client: Path) -> None:
    done = subprocess.run(
        ["npm", "run", "--silent", "check"], cwd=node_client, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_node_program_cancels_while_it_follows_or_stops_following(
    node_client: Path, valkey_url: str, client: Client, scripted: ScriptedWorker
) -> None:
    program = """
        import { Client } from "./asrq.mjs";
        const client = new Client(process.env.ASRQ_REDIS_URL);
        const stop = new AbortController();
        const said = client.transcribe(Buffer.from("sound"), {
            signal: stop.signal, on_event: (id, { type }) => { console.log(type, id); stop.abort(new Error("enough")); }
        });
        console.log(await said.catch((error) => error.message));
        const id = await client.submit(await client.upload(Buffer.from("sound"), "clip"), { lane: "batch" });
        for await (const { type } of client.follow(id))
            console.log(type, type === "queued" ? await client.cancel(id) : "");
        client.close();
    """
    command = ["node", "--input-type=module", "--eval", program]
    done = subprocess.run(command, cwd=node_client, capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    first, *rest = done.stdout.splitlines()
    assert rest == ["enough", "queued canceled", "canceled "]
    assert client.state(first.split()[1]).status == "canceled"


def test_functions_suffice(
    start: Start,
    scripted: ScriptedWorker,
    redis: Redis,
    valkey_url: str,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the rights of users.acl.example, which has no EVAL for clients."""
    users = (CLIENTS.parents[2] / "ops" / "redis" / "users.acl.example").read_text(encoding="utf-8").splitlines()
    [rights] = [line.split()[2:] for line in users if line.startswith("user client ")]
    functions.publish(redis, replace=True)
    redis.set(keys.CANCELED, canceled().to_json())
    redis.execute_command("ACL", "SETUSER", "client", *rights)
    redis.acl_log_reset()
    try:
        monkeypatch.setenv("ASRQ_REDIS_URL", valkey_url.replace("//", "//client:CLIENT_PASSWORD@"))
        program = start(recording)
        scripted.complete(scripted.take(), "allowed")
        assert program.communicate(timeout=120)[0] == "allowed\n"
        program = start(recording, "--wait", "1")
        assert "[wait_timeout]" in program.communicate(timeout=120)[1]
        [last] = [name for name in redis.scan_iter("rq:job:*") if redis.hget(name, "status") == b"canceled"]
        assert redis.get(keys.result(last.decode().removeprefix("rq:job:"))) == canceled().to_json().encode()
        assert redis.acl_log() == []
    finally:
        redis.acl_deluser("client")
