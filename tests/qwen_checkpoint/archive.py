"""The checkpoint as the repository holds it: one small archive."""

from __future__ import annotations

import tarfile
from pathlib import Path

ARCHIVE = Path(__file__).parent / "tiny-qwen3-asr.tar.xz"


def pack(folder: Path, archive: Path = ARCHIVE) -> None:
    """Write a folder's files into an archive that is the same for the same files."""
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for file in sorted(folder.iterdir()):
            member = tarfile.TarInfo(file.name)
            member.size = file.stat().st_size
            with file.open("rb") as content:
                tar.addfile(member, content)


def unpack(folder: Path, archive: Path = ARCHIVE) -> None:
    """Write the archive's files into a folder, which is made."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
