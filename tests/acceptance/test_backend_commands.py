"""`asrq backend` and the how-to that rolls back, as an operator runs them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from conftest import REPO, Asrq


def _commands(page: str) -> list[list[str]]:
    """The asrq commands of a page's shell blocks, without the program's name; those that set variables are left out."""
    text = (REPO / "docs" / "how-to" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["asrq"]]


def test_the_rollback_page_works_as_written(asrq: Asrq, live: str, data: Path) -> None:
    """Qwen is switched on where it cannot run: jobs go on through the fallback, and the page's commands end it."""
    try:
        done = asrq("backend", "set", "qwen", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["policy"]["fallback"] == "whisper"
        served = asrq("submit", data / "hello-en.flac", "--wait", "--json")
        assert served.returncode == 0, served.stdout
        assert json.loads(served.stdout)["backend"] == "whisper"

        rollback, show = _commands("roll-back-to-whisper.md")
        done = asrq(*rollback)
        assert (done.returncode, done.stdout.split()[:2]) == (0, ["backend", "whisper"])
        shown = asrq(*show)
        assert "rollback" in shown.stdout
        assert "set qwen" in shown.stdout
        loaded = asrq("models", "list", "--loaded").stdout.split("\t")
        assert loaded[1:4] == ["whisper", "tiny.en", "ready"]
        assert json.loads(asrq("models", "load", "whisper", "--json").stdout) == {"workers": 1}
        after = json.loads(asrq("submit", data / "hello-en.flac", "--wait", "--json").stdout)
        assert (after["backend"], after["fallback_from"]) == ("whisper", None)
    finally:
        asrq("backend", "rollback")


def test_a_canary_is_a_percentage(asrq: Asrq, valkey_url: str) -> None:
    assert asrq("backend", "canary", "qwen", "5%").returncode == 0
    policy = json.loads(asrq("backend", "show", "--json").stdout)["policy"]
    assert (policy["backend"], policy["canary"]) == ("whisper", {"backend": "qwen", "share": 0.05})
    assert asrq("backend", "canary", "qwen", "0%").returncode == 0
    assert json.loads(asrq("backend", "show", "--json").stdout)["policy"]["canary"] is None
    wrong = asrq("backend", "canary", "qwen", "0.05")
    assert (wrong.returncode, "[usage]" in wrong.stderr) == (2, True)


def test_without_a_policy_the_settings_count(asrq: Asrq, valkey_url: str) -> None:
    assert "settings" in asrq("backend", "show").stdout
