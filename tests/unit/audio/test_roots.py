"""Where nothing but the name of what was opened can be asked for, that is asked."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath
from typing import cast

import pytest

from asrq_jobs.errors import PathNotAllowedError
from asrq_worker.audio import roots
from asrq_worker.audio.roots import Roots, _is_called


@pytest.mark.parametrize(
    ("path", "name", "same"),
    [
        (r"C:\audio\talk.wav", r"\\?\C:\audio\talk.wav", True),
        (r"c:\Audio\TALK.wav", r"\\?\C:\audio\talk.wav", True),
        (r"C:\audio\talk.wav", r"C:\audio\talk.wav", True),
        (r"C:\audio\talk.wav", r"\\?\C:\secret\talk.wav", False),
        (r"C:\audio\talk.wav", r"\\?\D:\audio\talk.wav", False),
        (r"\\host\share\talk.wav", r"\\?\UNC\host\share\talk.wav", True),
        (r"\\host\share\talk.wav", r"\\?\UNC\other\share\talk.wav", False),
        (r"C:\audio\talk.wav", "", False),
    ],
)
def test_a_file_is_told_by_the_name_that_windows_gives_it(path: str, name: str, same: bool) -> None:
    assert _is_called(cast("Path", PureWindowsPath(path)), name) is same


def test_what_turns_out_to_lie_elsewhere_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on Windows, which cannot be told to follow no link."""
    talk = tmp_path / "talk.wav"
    talk.write_bytes(b"speech")
    monkeypatch.setattr(roots, "_BY_PARTS", False)
    names = iter([str(talk.resolve()), str(tmp_path / "elsewhere" / "talk.wav")])
    monkeypatch.setattr(roots, "_name", lambda _descriptor: next(names))
    with Roots((tmp_path,)).open(str(talk)) as file:
        assert file.read() == b"speech"
    opened: list[int] = []
    plain = os.open
    monkeypatch.setattr(os, "open", lambda *given: opened.append(plain(*given)) or opened[-1])
    with pytest.raises(PathNotAllowedError):
        Roots((tmp_path,)).open(str(talk))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])
