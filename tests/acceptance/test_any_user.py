"""Clients need neither a home nor a name of their user; what needs a folder says which setting names one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis
from support.needs import missing

from asrq_jobs import policy

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="users and mounts are made as Linux makes them")

ASRQ = Path(sys.executable).with_name("asrq")
NOBODY = 54321
CAPABILITY = "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"

Run = Callable[..., subprocess.CompletedProcess[str]]


def runner(prefix: tuple[str, ...], **environment: str) -> Run:
    """What runs `asrq` behind such a command, with no more of the environment than is said."""

    def run(*arguments: object, stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*prefix, ASRQ, *map(str, arguments)],
            input=stdin,
            env={"PATH": os.defpath, "ASRQ_FALLBACK": "none", **environment, **more},
            capture_output=True,
            timeout=120,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def _as_nobody() -> tuple[str, ...]:
    """Runs a command as a user whom the system has no name for, and who may write nowhere."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root becomes another user")
    user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    same = (sys.executable, "-c", f"import sys, asrq_jobs; sys.exit(sys.version != {sys.version!r})")
    for prefix in (user, (*user, *CAPABILITY)):  # if only root can see the program
        if subprocess.run([*prefix, *same], capture_output=True, check=False).returncode == 0:
            return prefix
    return missing("a program that another user can run")


@pytest.fixture(params=["no home", "no home to write to"])
def nobody(
    request: pytest.FixtureRequest, _as_nobody: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs `asrq` as that user, in a folder that only others write to."""
    monkeypatch.chdir("/")
    return runner(_as_nobody, **({} if request.param == "no home" else {"HOME": str(tmp_path)}))


def test_clients_need_no_home_and_no_name(nobody: Run, valkey_url: str, data: Path) -> None:
    def asked(*arguments: object) -> str:
        done = nobody(*arguments, ASRQ_REDIS_URL=valkey_url)
        assert done.returncode == 0, done
        return done.stdout

    job_id = json.loads(asked("submit", data / "hello-en.flac", "--json"))["id"]
    assert json.loads(asked("status", job_id, "--json"))["status"] == "queued"
    assert job_id in asked("list")
    assert "model_dir" in asked("config")
    asked("cancel", job_id)


def test_a_file_that_this_user_may_not_read_is_told_in_one_way(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("talk.flac").write_bytes((data / "hello-en.flac").read_bytes())
    Path("talk.flac").chmod(0)
    if os.getuid():
        bound = runner(())
    elif shutil.which("setpriv"):  # root without what lets it read everything
        bound = runner(("setpriv", "--bounding-set=-dac_override,-dac_read_search"))
    else:
        missing("setpriv (modes do not bind root)")
    for command in (("submit",), ("transcribe", "--backend", "fake", "--model", "m")):
        done = bound(*command, "talk.flac")
        said = "asrq: error: talk.flac cannot be read: Permission denied. [audio_unreadable]\n"
        assert (done.returncode, done.stderr) == (1, f"{said}  hint: Let this user read it.\n")


def test_the_policy_is_changed_by_a_user_without_a_name(nobody: Run, valkey_url: str, redis: Redis) -> None:
    for change in (("set", "qwen", "--fallback", "whisper"), ("rollback",)):
        done = nobody("backend", *change, ASRQ_REDIS_URL=valkey_url)
        assert done.returncode == 0, done
        written = policy.read(redis)
        assert written is not None
        assert written.changed_by == f"uid {NOBODY}@{socket.gethostname()}"


def test_what_keeps_models_says_which_setting_names_a_folder(nobody: Run) -> None:
    done = nobody("models", "fetch", "small")
    assert done.returncode == 1
    assert "[storage_unusable]" in done.stderr
    assert "ASRQ_MODEL_DIR" in done.stderr
    assert nobody("models", "list").returncode == 0


def test_what_keeps_no_model_needs_no_home(nobody: Run, data: Path) -> None:
    done = nobody("transcribe", data / "hello-en.flac", "--backend", "fake", "--model", "m")
    assert done.returncode == 0, done


def test_the_doctor_gets_to_the_end(nobody: Run) -> None:
    done = nobody("doctor", "--json", ASRQ_REDIS_URL="redis://127.0.0.1:1/0", ASRQ_WHISPER_MODEL="small")
    found = {check["name"]: check for check in map(json.loads, done.stdout.splitlines())}
    assert found["decoder"]["status"] == "ok"
    assert "disk" in found
    assert done.stderr == ""


def test_nothing_can_be_written_but_what_the_settings_name(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a read-only root."""
    monkeypatch.chdir("/")
    script = (
        'mount -t tmpfs none /mnt && for each in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o ro none "$each"; done; '
        'mount -o remount,bind,ro / && exec "$@"'
    )
    inside = runner(("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"))
    if not shutil.which("unshare") or inside("--version").returncode:
        missing("a namespace for mounts")
    audio = (data / "hello-en.flac").read_bytes()
    command = ("transcribe", "-", "--backend", "fake", "--model", "m")
    refused = inside(*command, stdin=audio)
    assert refused.returncode == 1
    assert "[storage_unusable]" in refused.stderr
    assert "ASRQ_SPOOL_DIR" in refused.stderr
    done = inside(*command, stdin=audio, ASRQ_SPOOL_DIR="/mnt/spool")
    assert done.returncode == 0, done
    measured = inside("bench", "--manifest", "x", "--backend", "fake:m", "--output", "/mnt/figures")
    assert "[storage_unusable]" in measured.stderr
    assert "TMPDIR" in measured.stderr
