"""`asrq` in the hands of a shell and a terminal: completion, and colour only where it is wanted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.needs import missing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these shells and terminals are not there")

ASRQ = Path(sys.executable).with_name("asrq")

Complete = Callable[..., list[str]]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """What `asrq` gives a shell to source, as a file."""

    def of(shell: str) -> Path:
        done = subprocess.run(
            [ASRQ], env={**os.environ, "_ASRQ_COMPLETE": f"{shell}_source"}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        path = tmp_path_factory.mktemp(shell) / "asrq"
        path.write_text(done.stdout, encoding="utf-8")
        return path

    return of


@pytest.fixture
def complete(script: Callable[[str], Path]) -> Complete:
    """What bash would offer after these words, the last of them unfinished."""
    bash = shutil.which("bash") or missing("bash")

    def completed(*words: str) -> list[str]:
        ask = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _asrq_completion asrq; printf "%s\\n" "${COMPREPLY[@]}"'
        path = f"{ASRQ.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [bash, "--norc", "-c", f'source "$0"; compopt() {{ echo offers ${{*: -1}}; }}; {ask}',
             script("bash"), *words],
            env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    return completed


def test_bash_completes_commands_options_and_choices(complete: Complete) -> None:
    assert complete("asrq", "su") == ["submit"]
    assert {"submit", "dead", "worker"} <= set(complete("asrq", ""))
    assert complete("asrq", "submit", "--la") == ["--lane", "--language", "--languages"]
    assert complete("asrq", "submit", "--lane", "") == ["interactive", "batch"]
    assert complete("asrq", "backend", "ro") == ["rollback"]


def test_bash_completes_files_itself_where_files_belong(complete: Complete) -> None:
    for command in ("submit", "transcribe"):
        assert complete("asrq", command, "ta")[0] == "offers default"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_can_read_its_script(script: Callable[[str], Path], shell: str) -> None:
    path = script(shell)
    assert "_ASRQ_COMPLETE" in path.read_text(encoding="utf-8")
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not here to read it")
    subprocess.run([program, "-n", path], check=True)


def shown(*arguments: str, **environment: str) -> str:
    """What a command writes to a terminal on stderr."""
    read, terminal = os.openpty()
    variables = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    variables |= {"TERM": "xterm", **environment}
    subprocess.run([ASRQ, *arguments], stderr=terminal, stdout=terminal, env=variables, check=False)
    os.close(terminal)
    text = b""
    try:
        while data := os.read(read, 65536):
            text += data
    except OSError:  # how Linux says that a terminal has ended
        pass
    os.close(read)
    return text.decode()


def test_colour_only_where_it_is_wanted() -> None:
    assert "\x1b[31m" in shown("bogus")
    assert "\x1b[31m" in shown("bogus", NO_COLOR="")
    for plain in (shown("bogus", NO_COLOR="1"), shown("bogus", TERM="dumb")):
        assert "[usage]" in plain
        assert "\x1b" not in plain
    piped = subprocess.run(
        [ASRQ, "bogus"], env={**os.environ, "FORCE_COLOR": "1"}, capture_output=True, text=True, check=False
    )
    assert "\x1b" not in piped.stderr


def test_tables_have_no_colour_either_where_none_is_wanted() -> None:
    assert "redis_url" in shown("config", NO_COLOR="1")
    assert "\x1b[3" not in shown("config", NO_COLOR="1", ASRQ_MODEL="tiny.en")
