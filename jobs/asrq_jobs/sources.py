"""What a user names on the command line, expanded: files, folders, standard input and URLs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrq_jobs.errors import AudioNotFoundError, UsageError
from asrq_jobs.redaction import redacted_url
from asrq_jobs.uploads import shown_path

STDIN = "-"

# What FFmpeg usually decodes; only folders are filtered by it, a file that is named is always tried.
MEDIA_EXTENSIONS = frozenset({
    ".3gp", ".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".au", ".avi", ".caf", ".flac", ".flv", ".m4a", ".m4b",
    ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg", ".mts", ".oga", ".ogg", ".ogv", ".opus",
    ".spx", ".ts", ".tta", ".voc", ".w64", ".wav", ".webm", ".wma", ".wmv", ".wv",
})  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One audio to transcribe: exactly one of a local `path`, a `url`, or neither for standard input.

    `wrong`: why the path is none.
    """

    path: Path | None = None
    url: str | None = None
    wrong: AudioNotFoundError | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """File name for people: valid Unicode."""
        if self.path is not None:
            return shown_path(self.path.name)
        return self.shown.rstrip("/").rpartition("/")[2] or self.shown

    @property
    def shown(self) -> str:
        """What tells it from the others, for people: the path as it was given, or the address without its query."""
        if self.path is not None:
            return shown_path(self.path)
        return str(self).partition("?")[0].partition("#")[0] if self.url is not None else "stdin"

    def __str__(self) -> str:
        """What it was called on the command line, without a login."""
        return str(self.path) if self.path is not None else redacted_url(self.url) if self.url else STDIN


def expand(
    arguments: Sequence[str], *, recursive: bool, tell: Callable[[str], None] = lambda _remark: None
) -> list[Source]:
    """Return the sources in the order given; a folder becomes its media files, sorted, hidden ones left out.

    Files are not opened: one that does not exist is found out when it is read. `tell` gets a remark on what in a
    folder is left out though it is not hidden: links that lead nowhere or to a folder, what is no file, and folders
    that cannot be read. A folder without `recursive`, or without media, is a source that is `wrong`, beside others.

    Raises:
        UsageError: there are only such folders; standard input named twice or a terminal.
    """
    if list(arguments).count(STDIN) > 1:
        raise UsageError("Standard input can be read only once.")
    if STDIN in arguments and sys.stdin.isatty():
        raise UsageError("Standard input is a terminal.", hint="Pipe audio into it, as in: asrq submit - < talk.mp3")
    found = [source for argument in arguments for source in _expand(argument, recursive, tell)]
    wrong = [source.wrong for source in found if source.wrong]
    if wrong and len(wrong) == len(found):
        raise UsageError(wrong[0].message, hint=wrong[0].hint)
    return found


def _expand(argument: str, recursive: bool, tell: Callable[[str], None]) -> list[Source]:
    if argument == STDIN:
        return [Source()]
    if "://" in argument:
        return [Source(url=argument)]
    path = Path(argument)
    if not os.path.isdir(argument):  # noqa: PTH112  # pathlib's raises for a name that is too long
        return [Source(path=path)]
    if not recursive:
        no_file = AudioNotFoundError(
            f"{shown_path(path)} is a folder.", hint="Add --recursive to take every audio and video file in it."
        )
        return [Source(path=path, wrong=no_file)]
    if found := [Source(path=file) for file in media_files(path, tell)]:
        return found
    empty = AudioNotFoundError(
        f"There is no audio or video file in {shown_path(path)}.",
        hint="Name a file to have it tried, whatever its extension is.",
    )
    return [Source(path=path, wrong=empty)]


def media_files(folder: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    """Yield the media files of a folder and those below it, as `expand` takes them."""

    def left_out(path: str | Path, reason: str) -> None:
        tell(f"{shown_path(path)} is left out: {reason}.")

    def unreadable(error: OSError) -> None:
        left_out(error.filename, error.strerror or "it cannot be read")

    for here, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if Path(here, name).is_symlink():
                left_out(Path(here, name), "links to folders are not followed")
        for name in sorted(files):
            path = Path(here, name)
            if name.startswith(".") or path.suffix.lower() not in MEDIA_EXTENSIONS:
                continue
            if path.is_file():
                yield path
            else:
                left_out(path, "it is a link that leads nowhere" if path.is_symlink() else "it is no file")
