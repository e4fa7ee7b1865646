"""A manifest: which recordings there are and what is said in them, as JSON lines.

A line has `path` (relative to the manifest), `language` (ISO 639-1 code; null: to be detected), `text` (what is said;
"" for no speech; null: unknown, so not scored), and may have `kind` and `tags`. Other fields are let pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from asrq_jobs import languages
from asrq_jobs.errors import AudioNotFoundError, InvalidRequestError, UnknownLanguageError


class _Entry(BaseModel):
    """A line of a manifest."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str
    language: str | None
    text: str | None
    kind: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clip:
    """A recording to be transcribed; `name` is its path as the manifest gives it, `sha256` that of the file."""

    name: str
    file: Path
    sha256: str
    language: str
    text: str | None


@dataclass(frozen=True)
class Selection:
    """Which lines of a manifest are wanted; an empty collection leaves nothing out, `limit` counts per language."""

    languages: Collection[str] = ()
    kinds: Collection[str] = ()
    without_tags: Collection[str] = ()
    limit: int | None = None


def load(manifest: Path, selection: Selection) -> list[Clip]:
    """Read a manifest and return the clips that are wanted, in its order.

    Raises:
        AudioNotFoundError: there is no such manifest, or a wanted file is missing.
        InvalidRequestError: a line is malformed, or nothing is left.
        UnknownLanguageError: a wanted line has a language that asrq does not know.
    """
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise AudioNotFoundError(
            f"Cannot read the manifest {manifest}: {reason}.",
            hint="It has one JSON object a line: path, language, text.",
        ) from None
    numbered = [(number, _entry(line, manifest, number)) for number, line in enumerate(lines, 1) if line.strip()]
    wanted = _select(numbered, selection)
    if not wanted:
        raise InvalidRequestError(
            f"No line of {manifest} matches.", hint="Check --language, --kind, --tag-exclude and --limit."
        )
    return [_clip(entry, manifest, number) for number, entry in wanted]


def _entry(line: str, manifest: Path, number: int) -> _Entry:
    try:
        return _Entry.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidRequestError(
            f"Line {number} of {manifest} is malformed: {f'{where}: ' if where else ''}{first['msg']}.",
            hint='A line is like {"path": "a.flac", "language": "en", "text": "Hello."}.',
        ) from None


def _select(numbered: Sequence[tuple[int, _Entry]], selection: Selection) -> list[tuple[int, _Entry]]:
    taken: dict[str | None, int] = {}
    wanted = []
    for number, entry in numbered:
        if selection.languages and entry.language not in selection.languages:
            continue
        if selection.kinds and entry.kind not in selection.kinds:
            continue
        if set(entry.tags) & set(selection.without_tags):
            continue
        taken[entry.language] = taken.get(entry.language, 0) + 1
        if selection.limit is None or taken[entry.language] <= selection.limit:
            wanted.append((number, entry))
    return wanted


def _clip(entry: _Entry, manifest: Path, number: int) -> Clip:
    file = manifest.parent / entry.path
    try:
        language = languages.normalize(entry.language)
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except UnknownLanguageError as error:
        raise UnknownLanguageError(f"Line {number} of {manifest}: {error.message}", hint=error.hint) from None
    except OSError as error:
        raise AudioNotFoundError(f"Line {number} of {manifest}: cannot read {file}: {error.strerror}.") from None
    return Clip(entry.path, file, digest, language, entry.text)
