"""What arrives in a folder: files that are there and rest, each time that they have changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from asrq_jobs import sources
from asrq_jobs.cli import failure
from asrq_jobs.cli.archive.items import Item, named


@dataclass
class _Seen:
    state: tuple[int, int]  # size in bytes, time of the last change in ns
    since: float
    taken: bool = False


class Arrivals:
    """The media files of a folder and those below it. One that is being written changes, and so does not rest."""

    def __init__(self, folder: Path, rest_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._rest_s = rest_s
        self._clock = clock
        self._seen: dict[Path, _Seen] = {}
        self._told: set[str] = set()

    def look(self) -> Iterator[Item]:
        """Yield the files that have not changed for `rest_s` seconds, each once until it changes again."""
        now, before = self._clock(), self._seen
        self._seen = {}
        for path in sources.media_files(self._folder, self._tell):
            try:
                found = path.stat()
            except OSError:  # moved or deleted meanwhile
                continue
            state = found.st_size, found.st_mtime_ns
            seen = before.get(path)
            if seen is None or seen.state != state:
                seen = _Seen(state, now)
            self._seen[path] = seen
            if not seen.taken and now - seen.since >= self._rest_s:
                seen.taken = True
                yield replace(named(path, self._folder), arrived=True)

    def _tell(self, remark: str) -> None:
        if remark not in self._told:
            self._told.add(remark)
            failure.note(remark)
