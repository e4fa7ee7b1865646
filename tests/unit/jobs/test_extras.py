"""The command that adds an extra names the place that asrq was installed from: no index has it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from conftest import REPO

from asrq_jobs import extras

Installed = Callable[[dict[str, Any] | None], None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Let an installer have noted where asrq came from (PEP 610), or nothing."""

    def note(source: dict[str, Any] | None) -> None:
        folder = tmp_path / "asrq-0.1.0.dist-info"
        folder.mkdir()
        if source is not None:
            (folder / "direct_url.json").write_text(json.dumps(source), encoding="utf-8")
        monkeypatch.setattr(extras, "distribution", lambda _: metadata.PathDistribution(folder))

    return note


def test_a_clone(installed: Installed, tmp_path: Path) -> None:
    installed({"url": tmp_path.as_uri(), "dir_info": {}})
    assert extras.command("qwen") == f"pip install '{tmp_path}[qwen]'"


def test_a_clone_that_is_edited(installed: Installed, tmp_path: Path) -> None:
    clone = tmp_path / "my clone"
    clone.mkdir()
    installed({"url": clone.as_uri(), "dir_info": {"editable": True}})
    assert extras.hint("qwen") == f"Run: pip install -e '{clone}[qwen]'."


def test_a_wheel(installed: Installed, tmp_path: Path) -> None:
    wheel = tmp_path / "asrq-0.1.0-py3-none-any.whl"
    wheel.touch()
    installed({"url": wheel.as_uri(), "archive_info": {}})
    assert extras.command("worker") == f"pip install '{wheel}[worker]'"


@pytest.mark.parametrize(
    ("source", "from_where"),
    [
        ({"url": "https://wheels.example/asrq.whl", "archive_info": {}}, "https://wheels.example/asrq.whl"),
        (
            {"url": "https://git.example/asrq", "vcs_info": {"vcs": "git", "commit_id": "0123"}},
            "git+https://git.example/asrq@0123",
        ),
        (
            {
                "url": "ssh://git@git.example/asrq",
                "vcs_info": {"vcs": "git", "commit_id": "0123", "requested_revision": "main"},
            },
            "git+ssh://git@git.example/asrq@main",
        ),
        (
            {"url": "https://me:geheim@git.example/asrq", "vcs_info": {"vcs": "git", "commit_id": "0123"}},
            "git+https://***@git.example/asrq@0123",
        ),
    ],
)
def test_a_repository_or_a_site(installed: Installed, source: dict[str, Any], from_where: str) -> None:
    installed(source)
    assert extras.command("worker") == f"pip install 'asrq[worker] @ {from_where}'"


@pytest.mark.parametrize("source", [None, {"url": "file:///gone/asrq.whl", "archive_info": {}}])
def test_where_it_came_from_is_not_known_or_gone(installed: Installed, source: dict[str, Any] | None) -> None:
    installed(source)
    assert extras.hint("worker") == "Run: pip install '.[worker]' in a clone of asrq."


def test_it_runs_without_being_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", absent)
    assert extras.command("worker") == "pip install '.[worker]' in a clone of asrq"


def test_no_page_and_no_hint_takes_asrq_from_an_index() -> None:
    """Somebody else might put something of that name there."""
    texts = [REPO / "README.md", *(REPO / "docs").rglob("*.md")]
    texts += [path for folder in ("jobs", "worker") for path in (REPO / folder).rglob("*.py")]
    by_name = re.compile(r"pip install (?:-\S+ )*['\"]?asrq\b(?!\[[\w,]+\] @|\[\{extra\}\] @)")
    found = {path.name: by_name.findall(path.read_text(encoding="utf-8")) for path in texts}
    warned = {"install.md": ["pip install asrq"]}
    assert {name: lines for name, lines in found.items() if lines} == warned
