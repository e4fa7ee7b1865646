"""Every command that the README, a tutorial or a how-to shows is run here, or stands below with the reason why not."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import REPO, Asrq
from support.command_line import parse

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the blocks are for a POSIX shell")

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(
    path.relative_to(REPO).as_posix()
    for folder in ("tutorial", "how-to")
    for path in (REPO / "docs" / folder).glob("*.md")
)]  # fmt: skip

# A command that matches is not run. Of those that begin with `asrq`, the arguments are still read by the real program.
NOT_HERE = {
    r"(sudo|apt|docker|systemctl|journalctl|redis-cli)\b": "it changes the machine or needs services that are not here",
    r"(pip|python3 -m venv|\. \.venv|make)\b": "CI installs and checks by these; test_wheel.py tries the wheel",
    r"(cargo|node|npm|npx)\b|cd docs/how-to/clients": "tests/integration/clients and bridge build and run the clients",
    r"eval |_ASRQ_COMPLETE": "tests of the completion run the real shells",
    r"curl\b": "the tests of the monitor and of the gateway ask these pages",
    r"export [A-Z]|[A-Z_]+=\S+$": "the address, secret or path is that of somebody's host",
    r"asrq (up|demo|worker|reaper|dashboard|bridge|http|watch)\b": "it runs until it is stopped; other tests do that",
    r"asrq models fetch\b": "it needs a model hub",
    r"asrq submit .*--((group-)?webhook|deliver)|asrq batch .*s3://": "the address is that of somebody's host",
    r"asrq status --group\b": "it shows a group of somebody's; test_client_commands.py has one",
    r"asrq voices add\b": "it needs an extra and more speech; tests/integration/job/test_speakers.py has both",
    r"asrq backend (shadow|canary|set) qwen": "it has no worker that could load Qwen",
    r"asrq dictate( --device\b.*)?$": "it needs a microphone; tests/unit/jobs/test_microphone.py gives it one",
    r"arecord\b": "it listens until stopped; tests/integration/programs/test_dictate.py gives the sound another way",
    r"python3? ops/": "its own tests run it",
    r"cp ops/": "nothing is to appear in the checkout",
}
# Pages about a worker that is not the one here: their commands that would ask it for a transcript.
ELSEWHERE = {
    "docs/how-to/turn-qwen-on.md": r"asrq transcribe",
    "docs/how-to/use-an-inference-server.md": r"asrq transcribe",
}
VARIABLES = re.compile(r"^(?:[A-Z][A-Z_]*=\S+ )+")


@dataclass(frozen=True)
class Command:
    """One command of a page. `shown` is what the page says it prints, if it does."""

    page: str
    line: str
    shown: str | None = None

    @property
    def reason(self) -> str | None:
        """Why it is not run; None: it is."""
        if (other := ELSEWHERE.get(self.page)) and re.match(other, self.bare):
            return "it needs what the page is about"
        return next((reason for pattern, reason in NOT_HERE.items() if self.matches(pattern)), None)

    @property
    def bare(self) -> str:
        """The command without the variables before it: they name hosts and ports of others."""
        return VARIABLES.sub("", self.line)

    def matches(self, pattern: str) -> bool:
        """Whether it begins so, with or without its variables."""
        return bool(re.match(pattern, self.line) or re.match(pattern, self.bare))


def commands(page: str) -> Iterator[Command]:
    text = (REPO / page).read_text(encoding="utf-8")
    for language, block in re.findall(r"^```(sh|bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        whole = re.sub(r"(?s)\bdo\n.*?\ndone", lambda loop: "; ".join(loop[0].splitlines()), block.replace("\\\n", " "))
        whole = whole.replace("do; ", "do ")
        if language == "console":
            for line, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", whole, re.MULTILINE):
                yield Command(page, line, shown or None)
            continue
        for line in whole.splitlines():
            for part in re.sub(r"\s+#\s.*", "", line).split(" && "):
                if part.strip() and not part.startswith("#"):
                    yield Command(page, " ".join(part.split()))


# What several pages show is run for the first of them.
ALL = list({command.line: command for page in reversed(PAGES) for command in reversed([*commands(page)])}.values())


def test_there_are_commands_of_both_kinds_and_no_reason_is_left_over() -> None:
    assert len([command for command in ALL if command.reason is None]) > 15
    for pattern in NOT_HERE:
        assert any(command.matches(pattern) for command in ALL), pattern


@pytest.mark.parametrize("command", [c for c in ALL if c.reason], ids=lambda command: command.line[:60])
def test_what_is_not_run_is_at_least_understood(command: Command) -> None:
    words = shlex.split(command.bare)
    if words[0] == "asrq":
        parse(words[1:])


@pytest.mark.timeout(1200)  # for what hangs: a page may start a dozen programs
@pytest.mark.parametrize("page", [page for page in PAGES if any(c.page == page and c.reason is None for c in ALL)])
def test_the_others_do_what_they_are_shown_for(page: str, asrq: Asrq, ready: str, data: Path, tmp_path: Path) -> None:
    """All of a page in one shell, one after the other, in a folder with the files that pages speak of.

    What a real model hears is the subject of test_with_a_worker.py.
    """
    shutil.copytree(data, tmp_path / "tests" / "data")
    (tmp_path / "recordings").mkdir()
    for name in ("talk.mp3", "recordings/one.flac", "recordings/two.flac"):
        shutil.copy(data / "hello-en.flac", tmp_path / name)
    (tmp_path / "notes.wav").write_text("This is no audio.", encoding="utf-8")
    shutil.copy(REPO / "ops" / "redis" / "users.acl.example", tmp_path / "users.acl")
    run = [command for command in commands(page) if command.reason is None and command in ALL]
    script = ["exec 2>&1"]
    for number, command in enumerate(run):
        line = command.bare
        if "<id>" in line:
            failed = asrq("submit", "notes.wav", "--wait", "--json").stdout
            line = line.replace("<id>", json.loads(failed)["id"])
        script += [f"echo; echo '=== {number}'", f'{line}; echo "=== code $?"']
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    printed = re.findall(r"^=== (\d+)\n(.*?)=== code (\d+)$", done.stdout, re.MULTILINE | re.DOTALL)
    assert len(printed) == len(run), done.stdout
    for command, (_, output, code) in zip(run, printed, strict=True):
        assert "Traceback" not in output, output
        if command.shown is None:
            assert code == "0", f"{command.line}\n{output}"
        else:
            assert output.strip() == command.shown.strip(), command.line
