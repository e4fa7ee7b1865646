"""The folder of enrolled voices: a file for each, which only its owner may read, as a voice tells who somebody is.

A file is called after a digest of the name, so that any name will do, and is there as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asrq_jobs.errors import StorageError, UsageError
from asrq_worker.storage.disk import placed, reading, refused

NETWORK: Final = "campplus_cn_en_common"
"""What made the vectors: those of another one cannot be compared with them."""
SIZE = 192
_LONGEST_NAME = 100
_OURS = re.compile(r"S\d+")
_KEPT = {"what": "Voices", "instead": "set ASRQ_VOICES_DIR to another folder"}


class Voice(BaseModel):
    """Somebody's voice: `vector` is a unit vector, made of so many `seconds` of speech."""

    model_config = ConfigDict(frozen=True)

    format: Literal["asrq.voice/1"] = "asrq.voice/1"
    name: str
    network: Literal["campplus_cn_en_common"] = NETWORK
    vector: tuple[float, ...] = Field(min_length=SIZE, max_length=SIZE)
    seconds: float
    created_at: str


@dataclass(frozen=True)
class EnrolledVoices:
    """What a folder holds: voices by name, and the files that cannot be used."""

    voices: tuple[Voice, ...]
    damaged: tuple[Path, ...]

    @property
    def fingerprint(self) -> str:
        """Digits that differ where another voice may be found."""
        held = "\n".join([*(voice.model_dump_json() for voice in self.voices), *(path.name for path in self.damaged)])
        return hashlib.sha256(held.encode()).hexdigest()


def checked(name: str) -> str:
    """Return a name as it is kept, in Unicode's composed form.

    Raises:
        UsageError: it is empty, too long, not printable, or like the ids of speakers that nobody knows.
    """
    kept = unicodedata.normalize("NFC", name).strip()
    if not kept or len(kept) > _LONGEST_NAME or not kept.isprintable():
        raise UsageError(
            f"A voice needs a name of 1 to {_LONGEST_NAME} printable characters.",
            hint="Leave out line breaks and the like.",
        )
    if _OURS.fullmatch(kept):
        raise UsageError(f"{kept} is what a speaker without a name is called.", hint="Choose another name.")
    return kept


def read(folder: Path) -> EnrolledVoices:
    """Return what a folder holds, in the order of the names.

    Raises:
        StorageError: this user cannot see it, or there is no such folder.
    """
    found: list[Voice] = []
    damaged: list[Path] = []
    with reading(placed(folder, setting="ASRQ_VOICES_DIR"), **_KEPT):
        if not folder.exists():
            raise StorageError(
                f"There is no folder {folder} for voices.",
                hint="asrq voices add makes it, or set ASRQ_VOICES_DIR to another one.",
            )
        for path in sorted(folder.iterdir()):
            if path.suffix != ".json" or path.name.startswith("."):
                continue
            try:
                found.append(Voice.model_validate_json(path.read_bytes()))
            except FileNotFoundError:  # removed meanwhile
                continue
            except (OSError, ValidationError):
                damaged.append(path)
    return EnrolledVoices(tuple(sorted(found, key=lambda voice: voice.name)), tuple(damaged))


def put(folder: Path, voice: Voice) -> bool:
    """Keep a voice; whether it has taken the place of one with its name.

    Raises:
        StorageError: the folder cannot be made, or does not take it.
    """
    path = _path(placed(folder, setting="ASRQ_VOICES_DIR"), voice.name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replaces = path.exists()
        handle, unfinished = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)  # only this user may read it
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(voice.model_dump_json())
            Path(unfinished).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(unfinished).unlink()
            raise
    except OSError as error:
        raise refused(folder, error, **_KEPT) from None
    return replaces


def remove(folder: Path, name: str) -> bool:
    """Delete a voice, damaged or not; whether there was one with the name.

    Raises:
        StorageError: the folder does not let this user.
    """
    path = _path(placed(folder, setting="ASRQ_VOICES_DIR"), name)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise refused(folder, error, **_KEPT) from None
    return True


def _path(folder: Path, name: str) -> Path:
    return folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


def damaged(path: Path) -> StorageError:
    """Return the error for a file of the folder that cannot be used."""
    return StorageError(
        f"The voice in {path} is damaged, of another version, or not to be read by this user.",
        hint="Run this as the user whose voices they are, or delete the file and add the voice again.",
    )
