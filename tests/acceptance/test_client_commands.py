"""The client's commands as users run them, against a real Valkey and no worker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.errors import InferenceError
from asrq_jobs.events import Event
from asrq_jobs.result import Keep, Result, Segment
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker

if TYPE_CHECKING:
    from conftest import Asrq

pytestmark = pytest.mark.usefixtures("valkey_url")


@pytest.fixture
def audio(data: Path) -> Path:
    return data / "hello-en.flac"


def end(client: Client, job_id: str, text: str | None, keep: Keep = "result") -> None:
    """End a job as a worker would; without a text, as a failed one."""
    if text is None:
        error = InferenceError("The model failed.").info()
        result = Result(id=job_id, status="failed", error=error)
    else:
        result = Result(id=job_id, status="completed", text=text, segments=(Segment(id=0, start=0, end=1, text=text),))
    result = result.model_copy(update={"keep": keep})
    client.redis.lrem(keys.queue("batch"), 0, job_id)
    client.redis.hset(keys.job(job_id), "status", "finished" if text is not None else "failed")
    client.redis.set(keys.result(job_id), result.to_json())
    event = Event(type=result.status, at=time.time(), error=result.error)
    client.redis.xadd(keys.events(job_id), {"event": event.to_json()})


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_group_is_submitted_and_shown(asrq: Asrq, valkey_url: str, audio: Path) -> None:
    with Client(Settings(redis_url=valkey_url)) as client:
        ids = asrq("submit", str(audio), str(audio), "--group", "night", "--group-size", "3").stdout.split()
        client.cancel(ids[0])
        worker = ScriptedWorker(client.redis)
        worker.fail(worker.take("batch"), InferenceError("The model failed."))
        shown = asrq("status", "--group", "night").stdout.splitlines()
        assert shown[0].split("\t") == ["night", "3", "0", "0", "1", "1"]
        assert shown[1].split("\t")[:2] == [ids[1], "failed"]
        group, failed = lines(asrq("status", "--group", "night", "--json").stdout)
        assert (group["schema"], group["failed"], group["canceled"], failed["id"]) == ("asrq.group/1", 1, 1, ids[1])
        client.purge(ids[1])
        assert len(asrq("status", "--group", "night").stdout.splitlines()) == 1
        assert asrq("submit", str(audio), "--group", "day").returncode == 0
        assert client.group("day").state().size == 1
    for wrong in (["status"], ["status", ids[0], "--group", "night"], ["submit", str(audio), "--group-size", "2"]):
        assert asrq(*wrong).returncode == 2
    missing = asrq("status", "--group", "noon")
    assert (missing.returncode, "No group noon" in missing.stderr) == (1, True)


def test_files_of_the_same_name_are_told_apart_by_their_paths(asrq: Asrq) -> None:
    names = ["a/x.wav", "b\x1b[31m/x.wav"]
    for name in names:
        Path(name).parent.mkdir()
        Path(name).touch()
    for options in ([], ["--wait"]):
        done = asrq("submit", *names, *options)
        assert [line for line in done.stderr.splitlines() if "error" in line] == [
            "asrq: error: a/x.wav is empty (0 bytes). [audio_empty]",
            "asrq: error: b\\x1b[31m/x.wav is empty (0 bytes). [audio_empty]",
        ]


def test_help_is_quick(asrq: Asrq) -> None:
    """Next to the least that a command of Python's takes, in turns: another machine has another clock."""
    took: dict[str, list[float]] = {"least": [], "help": []}
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "import click, importlib.metadata"], check=True)
        took["least"].append(time.monotonic() - began)
        began = time.monotonic()
        assert asrq("--help").returncode == 0
        took["help"].append(time.monotonic() - began)
    assert min(took["help"]) < 3 * min(took["least"])


def test_a_fork_says_what_a_fresh_process_says(asrq: Asrq, audio: Path) -> None:
    """What the other tests run is forked: each command is seen as users start it here."""
    one_job = ("wait", "result", "status", "events", "cancel", "retry", "erase")
    for words in (
        ("submit", audio, "--json", "--id", "mine"), ("list",), ("config", "--json"), ("dead", "list"),
        ("backend", "show"),
        *((command, "nobody") for command in one_job),
    ):  # fmt: skip
        forked, fresh = asrq(*words), asrq(*words, fresh=True)
        assert (forked.returncode, forked.stdout, forked.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)


def test_submit_prints_an_id_a_line(asrq: Asrq, client: Client, audio: Path) -> None:
    done = asrq("submit", audio, audio)
    assert (done.returncode, done.stderr) == (0, "")
    ids = done.stdout.split()
    assert [state.id for state in client.jobs("queued")] == ids
    assert len(set(ids)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="the system says it in other words")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.wav", "There is no file gone.wav. [audio_not_found]"),
        ("talk.wav/deeper", "There is no file talk.wav/deeper. [audio_not_found]"),
        ("x" * 300, f"{'x' * 300} cannot be read: File name too long. [audio_unreadable]"),
    ],
    ids=["gone", "below a file", "too long a name"],
)
def test_a_file_that_cannot_be_read_is_told_in_one_way(
    asrq: Asrq, audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    (tmp_path / "talk.wav").write_bytes(audio.read_bytes())
    monkeypatch.chdir(tmp_path)
    submitted, transcribed = asrq("submit", name), asrq("transcribe", name, "--backend", "fake", "--model", "fake")
    assert submitted.stderr.startswith(f"asrq: error: {said}\n  hint: ")
    assert (transcribed.returncode, transcribed.stderr) == (submitted.returncode, submitted.stderr)


def test_submit_json_is_exactly_id_and_status(asrq: Asrq, audio: Path) -> None:
    done = asrq("submit", audio, "--json", "--id", "mine")
    assert lines(done.stdout) == [{"id": "mine", "status": "queued"}]
    assert asrq("submit", audio, "--json", "--id", "mine").stdout == done.stdout
    other = asrq("submit", audio, "--json", "--id", "mine", "--language", "ru")
    assert other.returncode == 1
    assert lines(other.stdout)[0]["error"]["code"] == "job_conflict"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["a=1", "a=2"], "'a' is given twice."),
        (["=b"], "'=b' has no name before the =."),
        (["b"], "'b' is not NAME=TEXT."),
    ],
)
def test_metadata_that_is_none_is_refused(asrq: Asrq, client: Client, audio: Path, given: list[str], said: str) -> None:
    done = asrq("submit", audio, *(word for pair in given for word in ("--metadata", pair)))
    assert done.returncode == 2
    assert said in done.stderr
    assert client.jobs() == []


def test_options_reach_the_request(asrq: Asrq, client: Client, audio: Path) -> None:
    asrq(
        "submit", audio, "--id", "mine", "--lane", "interactive", "--language", "Russian", "--model", "base",
        "--backend", "whisper", "--task", "translate", "--word-timestamps", "--prompt", "Привет",
        "--hotwords", "Wien, Graz", "--hotwords", "Linz", "--timeout", "60", "--retries", "0", "--track", "2",
        "--queue-ttl", "600", "--webhook", "https://app.example/asrq", "--tag", "night", "--tag", "Ночь 1",
        "--metadata", "order=4711", "--metadata", "query=a=b",
    )  # fmt: skip
    request = json.loads(client.redis.hget(keys.job("mine"), "data"))[2][0]
    audio_sent = request.pop("audio")
    assert request == {
        "schema": "asrq.request/1", "id": "mine", "lane": "interactive", "task": "translate", "language": "ru",
        "backend": "whisper", "model": "base", "word_timestamps": True, "prompt": "Привет",
        "hotwords": ["Wien", "Graz", "Linz"], "timeout_s": 60, "retries": 0, "track": 2,
        "queue_ttl_s": 600, "webhook": "https://app.example/asrq", "tags": ["night", "Ночь 1"],
        "metadata": {"order": "4711", "query": "a=b"},
    }  # fmt: skip
    listed = asrq("list", "--tag", "Ночь 1", "--json")
    assert [(job["id"], job["metadata"]) for job in lines(listed.stdout)] == [("mine", request["metadata"])]
    assert lines(asrq("list", "--tag", "day", "--json").stdout) == []
    assert audio_sent["kind"] == "blob"
    assert client.redis.get(keys.blob(audio_sent["sha256"])) == audio.read_bytes()


def test_sources_of_every_kind(asrq: Asrq, client: Client, audio: Path, tmp_path: Path) -> None:
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    for name in ("b.mp3", "sub/a.ogg", "notes.txt", ".hidden.mp3"):
        (tmp_path / "folder" / name).write_bytes(name.encode())
    assert asrq("submit", "folder", "--recursive").returncode == 0
    assert asrq("submit", "-", stdin=b"bytes from a pipe").returncode == 0
    assert asrq("submit", "https://host/talk.mp3").returncode == 0
    assert asrq("submit", "relative.mp3", "--path").returncode == 0
    sent = [json.loads(client.redis.hget(keys.job(state.id), "data"))[2][0]["audio"] for state in client.jobs()]
    assert [audio["name"] for audio in sent[:3]] == ["b.mp3", "a.ogg", "stdin"]
    assert sent[3] == {"kind": "url", "url": "https://host/talk.mp3"}
    assert sent[4] == {"kind": "path", "path": str(tmp_path / "relative.mp3")}


def test_a_bad_source_does_not_keep_the_others(asrq: Asrq, audio: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    done = asrq("submit", "missing.wav", audio, "empty.wav", "--json")
    assert done.returncode == 1
    missing, queued, empty = lines(done.stdout)
    assert missing["error"]["code"] == "audio_not_found"
    assert (missing["source"], missing["status"]) == ("missing.wav", "failed")
    assert queued["status"] == "queued"
    assert empty["error"]["code"] == "audio_empty"
    plain = asrq("submit", "missing.wav", audio)
    assert plain.returncode == 1
    assert len(plain.stdout.split()) == 1
    assert "[audio_not_found]" in plain.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["submit", "."], "usage"),
        (["submit", ""], "usage"),
        (["submit", "a.wav", "--wait", "--output", ""], "usage"),
        (["submit", "a.wav", "b.wav", "--id", "x"], "usage"),
        (["submit", "a.wav", "--format", "srt"], "usage"),
        (["submit", "-", "--path"], "usage"),
        (["submit", "a.wav", "--language", "klingon"], "unknown_language"),
        (["submit", "a.wav", "--retries", "99"], "usage"),
        (["submit", "a.wav", "--id", "not an id"], "usage"),
    ],
)
def test_what_is_wrong_with_the_command_is_exit_code_2(
    asrq: Asrq, client: Client, arguments: list[str], code: str
) -> None:
    done = asrq(*arguments, "--json")
    assert done.returncode == 2
    assert lines(done.stdout)[0]["error"]["code"] == code
    assert f"[{code}]" in done.stderr
    assert client.jobs() == []


def test_settings_errors_are_exit_code_2(asrq: Asrq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_BEAM_SIZE", "many")
    done = asrq("list")
    assert done.returncode == 2
    assert "beam_size" in done.stderr


def test_a_queue_that_is_away_or_refuses_is_exit_code_3(
    asrq: Asrq, audio: Path, monkeypatch: pytest.MonkeyPatch, valkey_url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for url, code in (
        (f"redis://127.0.0.1:{port}/0", "queue_unreachable"),
        (valkey_url.replace("//", "//user:geheim@"), "queue_auth"),
    ):
        monkeypatch.setenv("ASRQ_REDIS_URL", url)
        for command in (["submit", audio], ["wait", "x"]):
            done = asrq(*command, "--json")
            assert done.returncode == 3
            assert lines(done.stdout)[-1]["error"]["code"] == code
            assert "geheim" not in done.stdout + done.stderr
            assert "Traceback" not in done.stderr


def test_wait_prints_documents_in_input_order_and_fails_for_a_failed_one(
    asrq: Asrq, client: Client, audio: Path
) -> None:
    ids = asrq("submit", audio, audio, audio).stdout.split()
    for job_id, text in zip(reversed(ids), ["three", None, "one"], strict=True):
        end(client, job_id, text)
    done = asrq("wait", *ids, "nowhere", "--json")
    assert done.returncode == 1
    documents = lines(done.stdout)
    assert [document["id"] for document in documents] == [*ids, "nowhere"]
    assert [document["status"] for document in documents] == ["completed", "failed", "completed", "failed"]
    assert [document["text"] for document in documents] == ["one", None, "three", None]
    assert [(document["error"] or {}).get("code") for document in documents] == [
        None, "inference_failed", None, "job_not_found"
    ]  # fmt: skip
    assert asrq("wait", ids[0], ids[2]).returncode == 0


def test_waiting_has_a_time_limit(asrq: Asrq, client: Client, audio: Path) -> None:
    ids = asrq("submit", audio, audio).stdout.split()
    end(client, ids[1], "two")
    done = asrq("wait", *ids, "--timeout", "0.3", "--json")
    assert done.returncode == 4
    finished, timed_out = lines(done.stdout)
    assert finished["text"] == "two"
    assert timed_out["error"]["code"] == "wait_timeout"
    waited = asrq("submit", audio, "--wait", "--wait-timeout", "0.3")
    assert waited.returncode == 4
    assert "asrq wait" in waited.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_interrupted_wait_says_how_to_go_on(asrq: Asrq, client: Client, audio: Path) -> None:
    job_id = asrq("submit", audio).stdout.strip()
    program = [Path(sys.executable).with_name("asrq"), "wait", job_id]
    waiting = subprocess.Popen(
        program,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: any(entry["cmd"].startswith("xread") for entry in client.redis.client_list()))
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=120)
    assert (waiting.returncode, out) == (130, "")
    assert f"asrq wait {job_id}" in err
    assert f"asrq cancel {job_id}" in err
    assert "Traceback" not in err
    assert client.state(job_id).status == "queued"


def test_what_keeps_nothing_is_gone_once_it_was_shown(asrq: Asrq, client: Client, audio: Path, tmp_path: Path) -> None:
    for command in ("result", "wait"):
        job_id = asrq("submit", audio, "--keep", "nothing").stdout.strip()
        end(client, job_id, "Привет, мир.", keep="nothing")
        (tmp_path / "taken").touch()
        assert asrq(command, job_id, "--output", tmp_path / "taken").returncode != 0, "it cannot be written"
        assert asrq(command, job_id).stdout == "Привет, мир.\n"
        assert asrq(command, job_id).returncode != 0
        assert client.redis.keys(f"*{job_id}*") == []


def test_results_in_every_form(asrq: Asrq, client: Client, audio: Path, tmp_path: Path) -> None:
    job_id = asrq("submit", audio).stdout.strip()
    early = asrq("result", job_id, "--json")
    assert early.returncode == 1
    assert lines(early.stdout)[0]["error"]["code"] == "job_state"
    end(client, job_id, "Привет, мир.")
    assert asrq("result", job_id, "--format", "txt").stdout == "Привет, мир.\n"
    assert asrq("result", job_id, "--format", "srt").stdout.startswith("1\n00:00:00,000 --> 00:00:01,000\nПривет")
    assert asrq("result", job_id).stdout == "Привет, мир.\n"
    assert lines(asrq("result", job_id, "--json").stdout)[0]["text"] == "Привет, мир."
    assert set(lines(asrq("result", job_id, "--format", "verbose_json").stdout)[0]) == {
        "task", "language", "duration", "text", "segments", "words"
    }  # fmt: skip
    written = asrq("result", job_id, "--format", "vtt", "--output", tmp_path / "new" / "folder")
    assert Path(written.stdout.strip()).read_text(encoding="utf-8").startswith("WEBVTT\n")


def test_status_list_cancel_retry_and_events(asrq: Asrq, audio: Path) -> None:
    ids = asrq("submit", audio, audio).stdout.split()
    rows = [line.split("\t") for line in asrq("list").stdout.splitlines()]
    assert [row[:4] for row in rows] == [[ids[0], "queued", "batch", "1"], [ids[1], "queued", "batch", "2"]]
    state = lines(asrq("status", ids[1], "--json").stdout)[0]
    assert (state["id"], state["status"], state["position"]) == (ids[1], "queued", 2)

    assert asrq("cancel", ids[0]).stdout == f"{ids[0]}  canceled\n"
    again = asrq("cancel", ids[0], ids[1], "--json")
    assert again.returncode == 1
    refused, canceled = lines(again.stdout)
    assert (refused["id"], refused["error"]["code"]) == (ids[0], "job_state")
    assert canceled == {"id": ids[1], "status": "canceled"}
    assert asrq("list", "--state", "queued").stdout == ""
    assert {line.split("\t")[0] for line in asrq("list", "--state", "canceled").stdout.splitlines()} == set(ids)

    followed = lines(asrq("events", ids[0], "--json").stdout)
    assert [event["type"] for event in followed] == ["queued", "canceled"]
    assert "canceled" in asrq("events", ids[0]).stdout

    assert lines(asrq("retry", ids[0], "--json").stdout) == [{"id": ids[0], "status": "queued"}]
    assert asrq("wait", ids[1]).returncode == 1

    missing = asrq("status", "nowhere", ids[0], "--json")
    assert missing.returncode == 1
    unknown, found = lines(missing.stdout)
    assert (unknown["id"], unknown["error"]["code"]) == ("nowhere", "job_not_found")
    assert (found["id"], found["status"]) == (ids[0], "queued")
    assert asrq("events", "nowhere").returncode == 1


@pytest.mark.parametrize("name", ["esc\x1b[31m\u202e.mp3", "two\nlines.mp3", "[bold]:smile:.mp3"])
def test_names_of_strangers_reach_no_terminal(
    asrq: Asrq, client: Client, audio: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(audio.read_bytes())
    (job_id,) = asrq("submit", name).stdout.split()
    client.cancel(job_id)
    shown = [asrq(*command) for command in (["list"], ["status", job_id], ["events", job_id], ["wait", job_id])]
    assert name.encode("unicode_escape").decode().replace("\\\\", "\\") in shown[0].stdout
    for each in shown:
        assert not set(each.stdout + each.stderr) & set("\x1b\u202e")
        assert len(each.stdout.splitlines()) <= 2
    exact = lines(asrq("list", "--json").stdout)[0]
    assert exact["description"] == f"transcribe {name} (auto)"


@pytest.mark.skipif(sys.platform == "win32", reason="streams are closed and full in other ways there")
@pytest.mark.parametrize("command", [["submit", "talk.flac"], ["list"], ["config", "--json"], ["--help"], ["bogus"]])
def test_streams_that_are_closed_or_full_are_said(asrq: Asrq, audio: Path, tmp_path: Path, command: list[str]) -> None:
    asrq("submit", audio)
    (tmp_path / "talk.flac").write_bytes(audio.read_bytes())

    def run(redirections: str) -> subprocess.CompletedProcess[str]:
        text = f'"$0" "$@" {redirections}'
        program = ["sh", "-c", text, Path(sys.executable).with_name("asrq"), *command]
        return subprocess.run(program, capture_output=True, text=True, check=False)

    assert run("2>&-").returncode == run("2>/dev/full").returncode == (2 if command == ["bogus"] else 0)
    assert run("<&-").returncode == (2 if command == ["bogus"] else 0)
    if command == ["bogus"]:
        return
    for redirections, reason in ((">&-", "it is closed"), (">/dev/full", "No space left on device")):
        done = run(redirections)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"asrq: error: Cannot write to standard output: {reason}. [output_failed]" in done.stderr
        assert len(done.stderr.splitlines()) == (2 if command[0] == "submit" else 1)


@pytest.mark.skipif(sys.platform == "win32", reason="no such pipes there")
def test_audio_comes_through_any_pipe(asrq: Asrq, client: Client, audio: Path, tmp_path: Path) -> None:
    program, audio_bytes = Path(sys.executable).with_name("asrq"), audio.read_bytes()
    named = tmp_path / "talk.fifo"
    os.mkfifo(named)
    script = '"$0" submit - < "$1" && "$0" submit /dev/stdin < "$1" && "$0" submit <(cat "$1") && '
    script += '(cat "$1" > talk.fifo &) && "$0" submit talk.fifo'
    done = subprocess.run(["bash", "-c", script, program, audio], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for job_id in done.stdout.split():
        sent = json.loads(client.redis.hget(keys.job(job_id), "data"))[2][0]["audio"]
        assert client.redis.get(keys.blob(sent["sha256"])) == audio_bytes
    closed = subprocess.run(["sh", "-c", '"$0" submit - <&-', program], capture_output=True, text=True, check=False)
    assert closed.returncode == 1
    assert closed.stderr.startswith("asrq: error: stdin cannot be read: it is closed. [audio_unreadable]")
    assert asrq("submit", named.with_suffix(".nowhere"), tmp_path / ("x" * 300), audio).stdout.count("\n") == 1


def test_each_file_is_written_as_its_job_ends_and_a_closed_terminal_leaves_it(
    asrq: Asrq, client: Client, audio: Path, tmp_path: Path
) -> None:
    for name in ("a.flac", "b.flac", "c.flac"):
        (tmp_path / name).write_bytes(audio.read_bytes() + name.encode())
    program = [
        Path(sys.executable).with_name("asrq"),
        "submit",
        "a.flac",
        "b.flac",
        "c.flac",
        "--wait",
        "--output",
        "out",
    ]
    if sys.platform == "win32":
        pytest.skip("no terminal is hung up there")
    waiting = subprocess.Popen(
        program,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Under nohup it is ignored, and so it would be here if the tests ran so.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509  # it takes no lock
    )
    try:
        until(lambda: len(client.jobs("queued")) == 3)
        ids = [state.id for state in client.jobs("queued")]
        end(client, ids[2], "three")
        until((tmp_path / "out" / "c.txt").is_file)
        assert (tmp_path / "out" / "c.txt").read_text(encoding="utf-8") == "three\n"
        end(client, ids[1], "two")
        until((tmp_path / "out" / "b.txt").is_file)
        waiting.send_signal(signal.SIGHUP)
        out, err = waiting.communicate(timeout=120)
    finally:
        waiting.kill()
    assert waiting.returncode == 129
    assert [Path(line).name for line in out.splitlines()] == ["b.txt", "c.txt"]
    assert f"asrq wait {ids[0]} --output out" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.txt", "c.txt"]
    end(client, ids[0], "one")
    assert asrq("wait", ids[0], "--output", "out").returncode == 0


def test_nobody_who_works_is_said(asrq: Asrq, client: Client, audio: Path) -> None:
    job_id = asrq("submit", audio).stdout.strip()
    absent = asrq("list")
    assert absent.stdout.startswith(job_id)
    assert [line.partition(" is there")[0] for line in absent.stderr.splitlines()] == [
        "asrq: no worker", "asrq: no reaper"
    ]  # fmt: skip
    assert asrq("list", "--json").stderr == ""
    waiting = asrq("wait", job_id, "--timeout", "4")
    assert waiting.returncode == 4
    assert waiting.stderr.splitlines()[0] == absent.stderr.splitlines()[0]
    now = time.time()
    client.redis.hset(keys.WORKERS, "killed-1", json.dumps({"state": "ready", "at": now - 90, "until": now - 60}))
    client.redis.hset(keys.WORKERS, "stopping-1", json.dumps({"state": "draining", "at": now, "until": now + 60}))
    assert asrq("list").stderr == absent.stderr
    full = {"state": "blocked", "problem": "The disk is full.", "at": now, "until": now + 60}
    client.redis.hset(keys.WORKERS, "full-1", json.dumps(full))
    said = "asrq: no worker takes jobs: The disk is full."
    assert asrq("list").stderr.splitlines()[0] == said
    assert asrq("wait", job_id, "--timeout", "4").stderr.splitlines()[0] == said
    client.redis.hset(keys.WORKERS, "gpu-1", json.dumps({"state": "loading", "at": now, "until": now + 60}))
    client.redis.set(keys.LEADER, "somebody", ex=60)
    assert asrq("list").stderr == ""


def test_config_names_origins_and_masks_secrets(asrq: Asrq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_REDIS_URL", "redis://user:geheim@host/0")
    Path(".env").write_text("ASRQ_MODEL=tiny.en\n", encoding="utf-8")
    shown = lines(asrq("config", "--json").stdout)[0]
    assert shown["redis_url"] == {"value": "redis://user:***@host/0", "origin": "environment"}
    assert shown["model"] == {"value": "tiny.en", "origin": ".env"}
    assert shown["beam_size"]["origin"] == "default"
    plain = asrq("config").stdout
    assert "model\ttiny.en\t.env\n" in plain
    assert "model_download\tfalse\tdefault\n" in plain
    assert "spool_dir\tnone\tdefault\n" in plain
    assert "geheim" not in plain


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently there")
def test_a_reader_that_goes_away_is_no_drama(asrq: Asrq, audio: Path) -> None:
    asrq("submit", audio)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as nobody:
        done = subprocess.run(
            [Path(sys.executable).with_name("asrq"), "list"], stdout=nobody, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("command", [("worker",), ("reaper",), ("dashboard",), ("up",), ("demo",)])
@pytest.mark.parametrize("prefix", ["team", "", "no prefix at all!"])
def test_keys_of_rq_under_another_name_are_refused(
    asrq: Asrq, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], prefix: str
) -> None:
    """RQ would keep workers and registries there, and the jobs would be elsewhere."""
    monkeypatch.setenv("RQ_KEY_PREFIX", prefix)
    done = asrq(*command)
    assert done.returncode == 2
    assert f"RQ_KEY_PREFIX is {prefix!r}" in done.stderr
    assert "env -u RQ_KEY_PREFIX" in done.stderr
    assert "Traceback" not in done.stderr


def test_clients_do_not_mind_the_keys_of_rq(asrq: Asrq, audio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RQ_KEY_PREFIX", "team")
    assert asrq("submit", audio).returncode == 0
    assert asrq("list").stdout.count("queued") == 1
