"""The generated reference pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import reference as docs
from asrq_jobs.cli.commands import COMMANDS
from asrq_jobs.errors import all_errors
from asrq_jobs.request import Request
from asrq_jobs.settings import groups


def test_nothing_is_left_out() -> None:
    pages = docs.pages()
    assert all(f"`ASRQ_{name.upper()}`" in pages["settings.md"] for names in groups().values() for name in names)
    assert all(f"### asrq {name}\n" in pages["cli.md"] for name in COMMANDS)
    assert "### asrq models fetch\n" in pages["cli.md"]
    assert "### asrq dead list\n" not in pages["cli.md"], "another name of `asrq list --state failed`"
    assert all(f"| `{cls.code}` |" in pages["errors.md"] for cls in all_errors())
    assert all(f"\n## {group}\n" in pages["settings.md"] for group in groups())
    decisions = [path.relative_to(docs.DOCS).as_posix() for path in (docs.DOCS / "explanation/decisions").glob("*.md")]
    assert len(decisions) >= 13
    assert all(pages["../index.md"].count(f"]({page})\n") == 1 for page in decisions)


def test_pages_do_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = docs.pages()
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    monkeypatch.setenv("COLUMNS", "50")
    assert docs.pages() == before


def test_the_request_schema_is_what_the_model_accepts() -> None:
    schema = json.loads(docs.pages()["request.schema.json"])
    assert set(schema["properties"]) == {field.alias or name for name, field in Request.model_fields.items()}
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["schema", "id", "audio"]


def test_check_tells_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "reference"
    folder.mkdir()
    monkeypatch.setattr(docs, "FOLDER", folder)
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0
    (folder / "errors.md").write_text("old", encoding="utf-8")
    (folder / "cli.md").unlink()
    assert docs.main(["--check"]) == 1
    told = capsys.readouterr().err
    assert "errors.md" in told
    assert "cli.md" in told
    assert "settings.md" not in told
