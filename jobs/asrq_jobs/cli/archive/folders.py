"""Where the transcripts of an archive go, and the report on them: a folder here, or one in a store such as S3."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asrq_jobs.cli import files
from asrq_jobs.cli.archive import stores
from asrq_jobs.errors import OutputError
from asrq_jobs.redaction import redacted, redacted_url

REPORT = "report.jsonl"
_LOOK_S = 60.0


class Folder(ABC):
    """Names are paths within the folder, with slashes. Lines of the report end with a newline.

    Every method raises OutputError if the folder does not take, or does not give, what is asked.
    """

    @abstractmethod
    def __str__(self) -> str:
        """What it is called."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether something has this name."""

    @abstractmethod
    def digest(self, name: str) -> str | None:
        """Return the SHA-256 of a file; None if there is none."""

    @abstractmethod
    def put(self, name: str, text: str) -> None:
        """Write a file in the place of what was there; it appears with all that it holds."""

    @abstractmethod
    def add(self, line: bytes) -> None:
        """Add a line to the report. It is there for good, at the latest, when the next file is."""

    @abstractmethod
    def news(self) -> Iterator[bytes]:
        """Yield the lines of the report that were added, by anybody, since it was asked last; all at first.

        A line that a crash cut off may be among them.
        """

    @abstractmethod
    def everything(self) -> Iterator[bytes]:
        """Yield all lines of the report, the oldest first."""

    @abstractmethod
    def tidy(self, lines: bytes) -> None:
        """Put lines in the place of those that `everything` has given."""


def opened(address: str) -> Folder:
    """Return a folder, which is made if need be.

    Raises:
        ExtraMissingError: a package for the store is not installed.
        OutputError, UsageError: it cannot be made, or takes no files.
    """
    return _StoredFolder(address) if "://" in address else _LocalFolder(Path(address))


class _LocalFolder(Folder):
    def __init__(self, path: Path) -> None:
        files.prepare(path)
        self._path, self._report = path, path / REPORT
        self._read_of: int | None = None  # the inode of what was read…
        self._read_to = 0  # …up to this byte
        with self._explained(), self._report.open("ab+") as report:
            if report.tell():
                report.seek(-1, os.SEEK_END)
                report.write(b"" if report.read() == b"\n" else b"\n")

    def __str__(self) -> str:
        return str(self._path)

    def has(self, name: str) -> bool:
        return os.path.lexists(self._path / name)

    def digest(self, name: str) -> str | None:
        with suppress(OSError):
            return hashlib.sha256((self._path / name).read_bytes()).hexdigest()
        return None

    def put(self, name: str, text: str) -> None:
        files.put(self._path / name, text)

    def add(self, line: bytes) -> None:
        # Opened each time: another run may have put a tidied one in its place.
        with self._explained(), self._report.open("ab", buffering=0) as report:
            report.write(line)

    def news(self) -> Iterator[bytes]:
        with self._explained(), self._report.open("rb") as report:
            inode = os.fstat(report.fileno()).st_ino
            if inode != self._read_of:
                self._read_of, self._read_to = inode, 0
            report.seek(self._read_to)
            for line in report:
                if not line.endswith(b"\n"):  # it is being written
                    break
                self._read_to += len(line)
                yield line

    def everything(self) -> Iterator[bytes]:
        self._read_of = None
        return self.news()

    def tidy(self, lines: bytes) -> None:
        files.put(self._report, lines.decode())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"Cannot use {self._report}: {error.strerror}.", hint="Make room, or name another --output."
            ) from None


class _StoredFolder(Folder):
    """Nothing can be appended in a store, so what is added becomes files beside the report, until it is tidied."""

    def __init__(self, address: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address.rstrip("/")
        self._clock, self._looked = clock, float("-inf")
        self._added: list[bytes] = []
        self._seen: set[str] = set()
        self._files, self._root = stores.opened(self._address)
        with self._explained():
            self._files.makedirs(self._root, exist_ok=True)

    def __str__(self) -> str:
        return redacted_url(self._address)

    def has(self, name: str) -> bool:
        with self._explained():
            return bool(self._files.exists(self._place(name)))

    def digest(self, name: str) -> str | None:
        with self._explained(), suppress(FileNotFoundError):
            return hashlib.sha256(self._files.cat_file(self._place(name))).hexdigest()
        return None

    def put(self, name: str, text: str) -> None:
        self._flush()
        self._write(name, text.encode(errors="backslashreplace"))

    def add(self, line: bytes) -> None:
        self._added.append(line)

    def news(self) -> Iterator[bytes]:
        if self._clock() - self._looked < _LOOK_S:
            return
        for name in self._parts():
            if name not in self._seen:
                yield from self._lines(name)

    def everything(self) -> Iterator[bytes]:
        self._flush()
        for name in self._parts():
            yield from self._lines(name)

    def tidy(self, lines: bytes) -> None:
        self._write(REPORT, lines)
        with self._explained():
            for name in self._seen - {REPORT}:
                with suppress(FileNotFoundError):  # another run has done so
                    self._files.rm_file(self._place(name))
        self._seen = {REPORT}

    def _parts(self) -> list[str]:
        """Return the names of the files that the report consists of, the oldest first."""
        self._looked = self._clock()
        with self._explained():
            self._files.invalidate_cache()
            found = self._files.glob(self._place(f"{REPORT}*"))
        return sorted(str(path).rpartition("/")[2] for path in found)

    def _lines(self, name: str) -> list[bytes]:
        self._seen.add(name)
        with self._explained(), suppress(FileNotFoundError):  # tidied by another run: it is in the report
            return bytes(self._files.cat_file(self._place(name))).splitlines(keepends=True)
        return []

    def _flush(self) -> None:
        if self._added:
            name = f"{REPORT}.{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
            self._write(name, b"".join(self._added))
            self._seen.add(name)
            self._added.clear()

    def _write(self, name: str, content: bytes) -> None:
        place = self._place(name)
        with self._explained():
            self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(place, content)

    def _place(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # each file system raises errors of its own library
            raise OutputError(
                f"Cannot use {self}: {type(error).__name__}: {redacted(str(error))}.",
                hint="Check the address, the credentials and the rights; the same command goes on from there.",
            ) from error
