"""What has been measured so far, as JSON lines: a benchmark that was interrupted goes on where it was.

Each line says under which conditions it was measured; what was measured under others is kept and not used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from asrq_jobs.errors import ErrorInfo, UsageError
from asrq_jobs.result import Result
from asrq_worker.bench.manifest import Clip


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str


class Transcribed(_Record):
    """A clip that was transcribed alone; `latency_s` is from handing over the file to having the result."""

    type: Literal["heard"] = "heard"
    name: str
    sha256: str
    language: str
    latency_s: float
    result: Result


class Refused(_Record):
    """A language that the target cannot be asked for."""

    type: Literal["refused"] = "refused"
    language: str
    error: ErrorInfo


class Rush(_Record):
    """Clips that were all submitted at once: `texts` by sha256, `wall_s` until the last result was there."""

    type: Literal["rush"] = "rush"
    wall_s: float
    audio_s: float
    texts: dict[str, str | None]


class Hosted(_Record):
    """A run of the worker."""

    type: Literal["hosted"] = "hosted"
    cold_start_s: float
    peak_memory_mb: int


Record = Annotated[Transcribed | Refused | Rush | Hosted, Field(discriminator="type")]
_RECORD: TypeAdapter[Transcribed | Refused | Rush | Hosted] = TypeAdapter(Record)


class Records:
    """The records of one target, read from a file and added to it."""

    def __init__(self, path: Path, target: str, conditions: dict[str, str]) -> None:
        """`conditions`: what the figures depend on besides the target.

        Raises:
            UsageError: the file cannot be read.
        """
        self._path = path
        self._target = target
        self._conditions = conditions
        self._heard: dict[tuple[str, str, str], Transcribed] = {}
        self._rushes: list[Rush] = []
        self.refused: dict[str, Refused] = {}
        self.hosted: list[Hosted] = []
        text = _text(path)
        self._cut_off = bool(text) and not text.endswith("\n")
        for line in text.split("\n"):
            self._take_line(line)

    def heard(self, clip: Clip) -> Transcribed | None:
        """Return what was last heard in a clip."""
        return self._heard.get((clip.name, clip.sha256, clip.language))

    def rush(self, clips: list[Clip]) -> Rush | None:
        """Return the last rush of exactly these clips."""
        wanted = {clip.sha256 for clip in clips}
        return next((rush for rush in reversed(self._rushes) if set(rush.texts) == wanted), None)

    def add(self, record: Transcribed | Refused | Rush | Hosted) -> None:
        """Keep a record, on disk before this returns.

        Raises:
            UsageError: the file cannot be written.
        """
        line = json.dumps({"conditions": self._conditions, **record.model_dump(mode="json")}, ensure_ascii=False)
        try:
            with self._path.open("a", encoding="utf-8", newline="\n") as file:
                file.write("\n" * self._cut_off + line + "\n")
        except OSError as error:
            raise UsageError(f"Cannot write {self._path}: {error.strerror}.") from None
        self._cut_off = False
        self._take(record)

    def _take_line(self, line: str) -> None:
        try:
            document: dict[str, Any] = json.loads(line)
            if document.pop("conditions") == self._conditions and document["target"] == self._target:
                self._take(_RECORD.validate_python(document))
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
            return  # cut off when the benchmark was interrupted, or of another version: it is measured again

    def _take(self, record: Transcribed | Refused | Rush | Hosted) -> None:
        match record:
            case Transcribed():
                self._heard[record.name, record.sha256, record.language] = record
            case Refused():
                self.refused[record.language] = record
            case Rush():
                self._rushes.append(record)
            case Hosted():
                self.hosted.append(record)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.", hint="Name another folder with --output.") from None
