"""What an archive consists of."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrq_jobs.cli.archive.items import Item, gather
from asrq_jobs.errors import UsageError
from asrq_jobs.sources import Source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("calls/b.mp3", "calls/a/a.wav", "calls/a/notes.txt", "calls/.old/c.mp3", "other/a/a.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(*arguments: object, manifests: tuple[Path, ...] = ()) -> list[str]:
    return [item.name for item in gather([*map(str, arguments)], manifests, tell=lambda _remark: None)]


def test_a_file_is_called_by_its_path_from_the_folder_that_was_named(folder: Path) -> None:
    assert names(folder / "calls") == ["b.mp3", "a/a.wav"]
    assert names(folder) == ["calls/b.mp3", "calls/a/a.wav", "other/a/a.wav"]
    assert names(folder / "calls/a/a.wav", folder / "calls/a/notes.txt") == ["a.wav", "notes.txt"]


def test_a_pattern_finds_files_called_from_its_first_wildcard_on(folder: Path) -> None:
    assert names(folder / "calls/**/*.wav") == ["a/a.wav"]
    assert names(folder / "*/a/a.wav") == ["calls/a/a.wav", "other/a/a.wav"]


def test_a_name_with_brackets_that_is_there_is_no_pattern(folder: Path) -> None:
    (folder / "[1].mp3").touch()
    assert names(folder / "[1].mp3") == ["[1].mp3"]


def test_a_file_named_twice_is_one(folder: Path) -> None:
    assert names(folder / "calls", folder / "calls") == ["b.mp3", "a/a.wav"]


def test_two_files_with_one_name_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"would both be called a/a.wav"):
        names(folder / "calls", folder / "other")


@pytest.mark.parametrize("given", [(), ("*.nothing",), ("-",)])
def test_nothing_is_refused(given: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        names(*given)


def test_an_address_is_called_by_its_last_part() -> None:
    (item,) = gather(["https://host/talks/one.mp3?key=secret"], (), tell=print)
    assert item == Item("one.mp3", Source(url="https://host/talks/one.mp3?key=secret"))


def test_a_manifest_gives_files_and_what_each_has_of_its_own(folder: Path) -> None:
    lines, table = folder / "list.jsonl", folder / "list.csv"
    lines.write_text('{"audio": "calls/b.mp3", "language": "ru", "tags": ["x"]}\n\n{"audio": "https://host/c.mp3"}\n')
    table.write_text(
        "audio, language,word_timestamps,hotwords,track,metadata.case\n"
        f'calls/a/a.wav,en,True,"Kyiv, Odesa",2,17\n{folder}/other/a/a.wav,,,,,\n'
    )
    found = gather([], (lines, table), tell=print)
    assert [(item.name, item.source, item.options) for item in found] == [
        ("calls/b.mp3", Source(path=folder / "calls/b.mp3"), {"language": "ru", "tags": ["x"]}),
        ("c.mp3", Source(url="https://host/c.mp3"), {}),
        (
            "calls/a/a.wav",
            Source(path=folder / "calls/a/a.wav"),
            {
                "language": "en", "word_timestamps": True, "hotwords": ["Kyiv", "Odesa"], "track": 2,
                "metadata": {"case": "17"},
            },
        ),
        ("a.wav", Source(path=folder / "other/a/a.wav"), {}),
    ]  # fmt: skip


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_are_separated_as_spreadsheets_do(tmp_path: Path, separator: str) -> None:
    rows = [["audio", "language", "hotwords"], ["a.mp3", "ru", '"x, y; z"']]
    (tmp_path / "list.csv").write_text("\n".join(map(separator.join, rows)), "utf-8")
    (item,) = gather([], [tmp_path / "list.csv"], tell=print)
    assert (item.name, item.options) == ("a.mp3", {"language": "ru", "hotwords": ["x", "y; z"]})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"audio": "a.mp3"}\nnonsense', "line 2: it is no JSON object"),
        ("a.jsonl", "[]", "line 1: it is no JSON object"),
        ("a.jsonl", '[]\n{"audio": "a.mp3"}\n{}', r"line 1: .*; line 3: it does not say which audio.*\.$"),
        ("a.jsonl", "[]\n" * 12, r"line 5: it is no JSON object; and 7 more\.$"),
        ("a.jsonl", '{"language": "ru"}', "line 1: it does not say which audio"),
        ("a.jsonl", '{"audio": "a.mp3", "lanugage": "ru"}', "line 1: Unknown field 'lanugage'"),
        ("a.jsonl", '{"audio": "a.mp3", "id": "x"}', "line 1: ids"),
        ("a.csv", "audio,track\na.mp3,first", "line 2: 'first' in the column track"),
        ("a.csv", "audio,track\na.mp3", "line 2: it has not as many columns"),
        ("a.csv", "audio,track\na.mp3,1,2", "line 2: it has not as many columns"),
        ("a.csv", "file\na.mp3", "line 2: it does not say which audio"),
    ],
)
def test_what_is_wrong_in_a_manifest_is_said_with_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        gather([], [tmp_path / name], tell=print)


def test_a_manifest_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"audio\n\xe9.mp3")
    for name in ("none.jsonl", "latin.csv"):
        with pytest.raises(UsageError, match="Cannot read"):
            gather([], [tmp_path / name], tell=print)
