"""The folder of enrolled voices, and whose voice a speaker's is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from asrq_jobs.errors import StorageError, UsageError
from asrq_worker.speakers import child, enrolled, names
from asrq_worker.speakers.clusters import Vectors
from asrq_worker.speakers.enrolled import SIZE, Voice


def unit(*parts: float) -> Vectors:
    vector = np.array([*parts, *[0.0] * (SIZE - len(parts))], dtype=np.float32)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def voice(name: str, *parts: float) -> Voice:
    return Voice(
        name=name, vector=tuple(unit(*parts or (1.0,)).tolist()), seconds=9.0, created_at="2026-01-01T00:00:00Z"
    )


def test_a_voice_is_kept_replaced_and_erased(tmp_path: Path) -> None:
    folder = tmp_path / "voices"
    assert enrolled.put(folder, voice("Анна/../x", 1, 1)) is False
    assert enrolled.put(folder, voice("Bert")) is False
    assert enrolled.put(folder, voice("Bert", 0, 1)) is True
    assert enrolled.read(folder).voices == (voice("Bert", 0, 1), voice("Анна/../x", 1, 1))
    assert enrolled.remove(folder, "Bert") is True
    assert enrolled.remove(folder, "Bert") is False
    assert len(list(tmp_path.rglob("*"))) == 2, "the folder, and one voice in it"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_only_its_owner_may_read_a_voice(tmp_path: Path) -> None:
    folder = tmp_path / "voices"
    enrolled.put(folder, voice("Anna"))
    assert [path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())] == [0, 0]


def test_a_damaged_file_does_not_hide_the_others(tmp_path: Path) -> None:
    enrolled.put(tmp_path, voice("Anna"))
    whole = enrolled.read(tmp_path).fingerprint
    for name, text in (("a.json", "{"), ("b.json", voice("Bert").model_dump_json().replace("campplus", "other"))):
        (tmp_path / name).write_text(text)
    (tmp_path / ".part").write_text("{")
    held = enrolled.read(tmp_path)
    assert [each.name for each in held.voices] == ["Anna"]
    assert [path.name for path in held.damaged] == ["a.json", "b.json"]
    assert held.fingerprint != whole
    error = enrolled.damaged(held.damaged[0])
    assert str(tmp_path / "a.json") in error.message
    assert error.hint


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_that_is_none_is_an_error(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "voices"
    if made:
        folder.write_text("")
        with pytest.raises(StorageError, match="voices"):
            enrolled.put(folder, voice("Anna"))
    with pytest.raises(StorageError, match="voices") as caught:
        enrolled.read(folder)
    assert "ASRQ_VOICES_DIR" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31m", "a" * 101, "S1", "\u202eanna", "\udcff"])
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        enrolled.checked(name)


def test_a_name_is_the_same_however_it_is_written() -> None:
    assert enrolled.checked(" Jose\u0301 ") == "Jos\u00e9"


@pytest.mark.parametrize(
    ("speakers", "wanted"),
    [
        ([(0.9, 0.1)], ["Anna"]),
        ([(0, 0, 1)], [None]),
        ([(1, 0.5), (1, 0.1)], [None, "Anna"]),  # the one who is more alike has the name, and nobody else
        ([(0.1, 1), (1, 0.1)], ["Bert", "Anna"]),
    ],
)
def test_a_speaker_has_the_name_of_the_most_similar_voice(
    speakers: Sequence[Sequence[float]], wanted: list[str | None]
) -> None:
    voices = [voice("Anna", 1), voice("Bert", 0, 1)]
    assert names.named(np.stack([unit(*each) for each in speakers]), voices) == wanted


def test_without_voices_nobody_has_a_name() -> None:
    assert names.named(np.stack([unit(1)]), []) == [None]


def test_voices_that_are_alike_are_told() -> None:
    others = [voice("Anna", 1), voice("Bert", 0, 1), voice("Cora", 1, 0.1)]
    assert names.alike(others[0], others) == ["Cora"]
    assert names.alike(others[0], others[:1]) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_a_voice_that_goes_while_the_folder_is_read_is_left_out(tmp_path: Path) -> None:
    enrolled.put(tmp_path, voice("Anna"))
    (tmp_path / "gone.json").symlink_to(tmp_path / "nothing")
    assert enrolled.read(tmp_path).damaged == ()


def test_what_cannot_be_read_costs_names_and_no_turn(tmp_path: Path) -> None:
    speakers = np.stack([unit(1), unit(0, 1)])
    assert child._names(speakers, None) == {"names": [None, None], "unread": None}
    away = child._names(speakers, str(tmp_path / "none"))
    assert away["names"] == [None, None]
    assert str(tmp_path / "none") in away["unread"]
    enrolled.put(tmp_path, voice("Anna", 0, 1))
    (tmp_path / "a.json").write_text("{")
    part = child._names(speakers, str(tmp_path))
    assert part["names"] == [None, "Anna"]
    assert str(tmp_path / "a.json") in part["unread"]
