"""What an archive consists of: files, folders, patterns, addresses and manifests, each file under a name of its own."""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from asrq_jobs import sources
from asrq_jobs.cli.archive import stores
from asrq_jobs.errors import RequestError, UsageError
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.sources import Source
from asrq_jobs.uploads import shown_path

Tell = Callable[[str], None]

_AUDIO, _METADATA = "audio", "metadata."
_MOST_WRONG = 5  # lines of manifests that are told at a time
_LISTS = frozenset({"languages", "hotwords", "tags"})
_JSON = frozenset(
    {"track", "diarize", "speakers", "min_speakers", "max_speakers", "word_timestamps", "timeout_s", "queue_ttl_s"}
    | {"retries"}
)


@dataclass(frozen=True)
class Item:
    """One file of an archive.

    `name` is its path within the archive, with slashes; its transcript is called after it. `options` are the fields of
    `asrq.request/1` that a manifest gives it. One that `arrived` may go again before it is read. `version` is what a
    store says of the content at an address.
    """

    name: str
    source: Source
    options: dict[str, Any] = field(default_factory=dict)
    arrived: bool = False
    version: str = ""


def gather(arguments: Sequence[str], manifests: Sequence[Path], *, tell: Tell) -> list[Item]:
    """Return what is named, in its order and each file once; `tell` gets a remark on what in a folder is left out.

    A file in a folder is called by its path from there, one that a pattern finds by its path from the part before the
    first wildcard, and any other by its own name; in stores as well. Files are not opened.

    Raises:
        ExtraMissingError: a package for a store is not installed.
        UsageError: nothing is found, a manifest cannot be read, or two files would have one name.
    """
    found: dict[str, Item] = {}
    for item in _all(arguments, manifests, tell):
        other = found.setdefault(item.name, item)
        if other.source != item.source:
            raise UsageError(
                f"{other.source.shown} and {item.source.shown} would both be called {item.name}.",
                hint="Name the folder above both, or run them into two folders.",
            )
    if not found:
        raise UsageError(
            "There is nothing to transcribe.", hint="Name files, a folder with audio or video files, or a --manifest."
        )
    return list(found.values())


def _all(arguments: Sequence[str], manifests: Sequence[Path], tell: Tell) -> Iterator[Item]:
    for argument in arguments:
        yield from _named(argument, tell)
    for manifest in manifests:
        yield from _listed(manifest)


def _named(argument: str, tell: Tell) -> Iterator[Item]:
    path = Path(argument)
    if argument == sources.STDIN:
        raise UsageError("Standard input is no archive.", hint="Pipe one file into asrq submit - --wait.")
    if "://" in argument:
        if stores.is_listed(argument):
            yield from (Item(file.name, Source(url=file.url), version=file.version) for file in stores.listed(argument))
        else:
            yield _alone(Source(url=argument))
    elif path.is_dir():
        yield from (named(file, path) for file in sources.media_files(path, tell))
    elif glob.has_magic(argument) and not path.exists():
        base = _before_wildcards(path)
        for name in sorted(glob.glob(argument, recursive=True)):  # noqa: PTH207  # Path's takes no absolute pattern
            if (file := Path(name)).is_file():
                yield named(file, base)
    else:
        yield _alone(Source(path=path))


def named(file: Path, base: Path, options: dict[str, Any] | None = None) -> Item:
    """Return a file that is called by its path from a folder."""
    return Item(shown_path(file.relative_to(base).as_posix()), Source(path=file), options or {})


def _alone(source: Source, options: dict[str, Any] | None = None) -> Item:
    return Item(source.name, source, options or {})


def _before_wildcards(pattern: PurePath) -> Path:
    parts = [*pattern.parts]
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _listed(manifest: Path) -> list[Item]:
    """Return what a manifest names: lines of JSON, or with the ending .csv a table whose first row names its columns.

    Commas separate them, or semicolons or tabs.
    `audio` is a path, from where the manifest is, or an address; all else are fields of `asrq.request/1`.
    """
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"Cannot read {manifest}: {reason}.", hint="Check the path of --manifest.") from None
    found, wrong = [], []
    for number, fields in _table(text) if manifest.suffix.lower() == ".csv" else _lines(text):
        try:
            found.append(_listed_item(fields(), manifest))
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
    if wrong:
        more = [f"and {len(wrong) - _MOST_WRONG} more"] if len(wrong) > _MOST_WRONG else []
        raise UsageError(
            f"{manifest}, {'; '.join(wrong[:_MOST_WRONG] + more)}.",
            hint='A line is like {"audio": "a.mp3", "language": "ru"}; in CSV the first row names the columns.',
        )
    return found


_Fields = Callable[[], dict[str, Any]]
"""The fields of one line; ValueError says what is wrong with it."""


def _lines(text: str) -> Iterator[tuple[int, _Fields]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, partial(_object, line)


def _object(line: str) -> dict[str, Any]:
    with suppress(ValueError):
        if isinstance(row := json.loads(line), dict):
            return row
    raise ValueError("it is no JSON object")


def _table(text: str) -> Iterator[tuple[int, _Fields]]:
    lines = text.splitlines()
    first = lines[0] if lines else ""
    # Spreadsheets separate by what their country's decimal comma leaves them.
    reader = csv.DictReader(lines, delimiter=max(",;\t", key=first.count))
    for row in reader:
        yield reader.line_num, partial(_cells, row)


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a table as fields of a request; an empty cell is none."""
    if None in row or None in row.values():
        raise ValueError("it has not as many columns as the first row")
    fields: dict[str, Any] = {}
    for name, value in ((name.strip(), value.strip()) for name, value in row.items()):
        if not value:
            continue
        if name.startswith(_METADATA):
            fields.setdefault("metadata", {})[name.removeprefix(_METADATA)] = value
        elif name in _LISTS:
            fields[name] = [part.strip() for part in value.split(",") if part.strip()]
        elif name in _JSON:
            try:
                fields[name] = json.loads(value.lower())
            except ValueError:
                raise ValueError(f"{value!r} in the column {name} is neither a number nor true or false") from None
        else:
            fields[name] = value
    return fields


def _listed_item(row: dict[str, Any], manifest: Path) -> Item:
    audio = row.pop(_AUDIO, None)
    if not isinstance(audio, str) or not audio:
        raise ValueError("it does not say which audio: a path or an address")
    if {"id", "schema"} & row.keys():
        raise ValueError("ids and schemas are given by asrq")
    try:
        Request.build(id="id", audio=PathAudio(path="-"), **row)
    except RequestError as error:
        raise ValueError(error.message.rstrip(".")) from None
    if "://" in audio:
        return _alone(Source(url=audio), row)
    path = manifest.parent / audio
    inside = not PurePath(audio).is_absolute() and ".." not in PurePath(audio).parts
    return named(path, manifest.parent, row) if inside else _alone(Source(path=path), row)
