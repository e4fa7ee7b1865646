"""Manifests, and what is wrong with them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from asrq_jobs.errors import AsrqError, AudioNotFoundError, InvalidRequestError, UnknownLanguageError
from asrq_worker.bench.manifest import Selection, load


def write(folder: Path, *lines: object) -> Path:
    manifest = folder / "manifest.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    manifest.write_text(text, encoding="utf-8")
    return manifest


def entry(folder: Path, name: str, language: str | None = "en", **fields: object) -> dict[str, object]:
    (folder / name).write_bytes(name.encode())
    return {"path": name, "language": language, "text": "hello", **fields}


def test_paths_are_relative_to_the_manifest_and_other_fields_are_let_pass(tmp_path: Path) -> None:
    manifest = write(tmp_path, entry(tmp_path, "a.flac", licence="CC0"), "", entry(tmp_path, "b.flac", None, text=None))
    first, second = load(manifest, Selection())
    assert (first.name, first.file, first.language, first.text) == ("a.flac", tmp_path / "a.flac", "en", "hello")
    assert first.sha256 == hashlib.sha256(b"a.flac").hexdigest()
    assert (second.language, second.text) == ("auto", None)


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(), ["a", "b", "c", "d"]),
        (Selection(languages=["ru"]), ["c", "d"]),
        (Selection(kinds=["long"]), ["b"]),
        (Selection(without_tags=["hard", "noisy"]), ["a", "b", "d"]),
        (Selection(limit=1), ["a", "c"]),
        (Selection(without_tags=["hard"], limit=1), ["a", "d"]),
    ],
)
def test_selection(tmp_path: Path, selection: Selection, names: list[str]) -> None:
    manifest = write(
        tmp_path,
        entry(tmp_path, "a", kind="clip"),
        entry(tmp_path, "b", kind="long"),
        entry(tmp_path, "c", "ru", tags=["hard", "old"]),
        entry(tmp_path, "d", "ru"),
    )
    assert [clip.name for clip in load(manifest, selection)] == names


def test_lines_that_are_not_wanted_need_not_be_usable(tmp_path: Path) -> None:
    odd = {"path": "missing.ogg", "language": "mul", "text": "hello привет"}
    manifest = write(tmp_path, odd, entry(tmp_path, "a"))
    assert len(load(manifest, Selection(languages=["en"]))) == 1


@pytest.mark.parametrize(
    ("lines", "kind", "says"),
    [
        (['{"path": "a", "language": "en", "text": "x"}', "{"], InvalidRequestError, "Line 2 of"),
        (['{"path": "a", "language": "en"}'], InvalidRequestError, "text: Field required"),
        (['{"path": "a", "language": "en", "text": "x", "tags": 3}'], InvalidRequestError, "tags: "),
        (['{"path": "gone", "language": "en", "text": "x"}'], AudioNotFoundError, "Line 1 of"),
        (['{"path": ".", "language": "klingon", "text": "x"}'], UnknownLanguageError, "klingon"),
        ([], InvalidRequestError, "No line of"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, lines: list[str], kind: type[AsrqError], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught:
        load(write(tmp_path, *lines), Selection())
    assert "Traceback" not in caught.value.message


def test_a_missing_manifest_is_said(tmp_path: Path) -> None:
    with pytest.raises(AudioNotFoundError, match="No such file"):
        load(tmp_path / "none.jsonl", Selection())
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AudioNotFoundError, match="not UTF-8"):
        load(tmp_path / "binary", Selection())
