"""`asrq batch` and `asrq watch` as programs, with a real worker behind the queue."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Asrq
from support.processes import PROGRAM, worker
from support.waiting import until

from asrq_jobs import Client


@pytest.fixture
def archive(tmp_path: Path, data: Path) -> Path:
    folder = tmp_path / "archive"
    for name in ("a/one.flac", "a/b/two.flac"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / "hello-en.flac", folder / name)
    (folder / "text.mp3").write_text("This is no audio.")
    return folder


def test_an_archive_is_transcribed_and_told_of(client: Client, valkey_url: str, archive: Path, asrq: Asrq) -> None:
    with worker(valkey_url, lanes="batch:2", audio_roots=archive):
        first = asrq("batch", archive, "--output", "out")
        second = asrq("batch", archive, "--output", "out", "--json")
        inside = asrq("batch", archive, "--output", "paths", "--path", "--format", "srt")
    assert (first.returncode, second.returncode, inside.returncode) == (1, 1, 1)
    assert "text.mp3: The file is not audio" in first.stderr
    assert "3 files: 2 completed, 1 failed, 0 done before." in first.stdout
    assert json.loads(second.stdout).items() >= {"files": 3, "completed": 0, "failed": 1, "skipped": 2}.items()
    lines = [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]
    assert {line["source"]: (line["status"], line.get("output")) for line in lines} == {
        "text.mp3": ("failed", None),
        "a/one.flac": ("completed", "a/one.txt"),
        "a/b/two.flac": ("completed", "a/b/two.txt"),
    }
    assert Path("out/a/one.txt").read_text() == Path("out/a/b/two.txt").read_text() != ""
    assert Path("paths/a/b/two.srt").read_text().startswith("1\n00:00:0")
    assert client.jobs() == []


def test_a_mistake_is_said_before_anything_is_sent(client: Client, archive: Path, asrq: Asrq) -> None:
    Path("list.csv").write_text("audio,track\na.mp3,one\n")
    for arguments in (("--manifest", "list.csv"), (archive, "--language", "xx"), (archive, "--max-line-width", "30")):
        done = asrq("batch", *arguments, "--output", "out")
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert "Traceback" not in done.stderr
    done = asrq("watch", "nowhere", "--output", "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no folder nowhere." in done.stderr
    assert client.jobs() == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_arrives_is_transcribed_until_a_signal(
    client: Client, valkey_url: str, archive: Path, number: signal.Signals
) -> None:
    with worker(valkey_url, lanes="batch:2"):
        program = subprocess.Popen(
            [PROGRAM, "watch", archive, "--output", "out", "--rest", "0.1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(Path("out/a/b/two.txt").is_file, 60)
        shutil.copy(archive / "a/one.flac", archive / "late.flac")
        until(Path("out/late.txt").is_file, 60)
        until(lambda: client.jobs() == [])
        program.send_signal(number)
        out, err = program.communicate(timeout=60)
    assert program.returncode == 0, err
    assert f"watches {archive}" in err
    assert "4 files: 3 completed, 1 failed, 0 done before." in out
