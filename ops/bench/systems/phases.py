"""What is measured of a contender, one after the other: a stream of clips, clips alone, clips while files run, …"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asrq_jobs.languages import AUTO
from asrq_worker.bench.manifest import Clip
from asrq_worker.bench.normalise import normalise
from asrq_worker.bench.score import Errors, compare
from systems.audio import seconds
from systems.contenders.hearing import Job
from systems.running import Running

_START_S = 300.0
_SILENT_S = 600.0  # without any answer: no contender needs so long for one file
_FEWEST = 9  # more than any contender runs at a time
_numbers = itertools.count()


class NoAnswerError(Exception):
    """A contender does not answer, and nothing says that it died."""

    def __init__(self) -> None:
        super().__init__("no answer")


@dataclass(frozen=True)
class Stretch:
    """Files from the first submit to the last answer. `cpu_s`: of all processes of the contender."""

    wall_s: float
    cpu_s: float
    audio_s: float
    clips: int
    errors: dict[str, Errors]
    failed: int


@dataclass(frozen=True)
class Loaded:
    """Clips that came while files ran. `files_left`: how many of them had not been answered when the last clip came."""

    latencies_s: list[float]
    files_left: int


@dataclass(frozen=True)
class Killed:
    """What a `kill -9` cost; `after_s`: from the kill to the last answer that came."""

    clips: int
    clips_lost: int
    words: int
    words_lost: int
    answered_twice: int
    after_s: float


def started(contender: Running, clip: Clip) -> float:
    """Have it transcribe its first clip and return the seconds that this took, its start included."""
    began = time.perf_counter()
    _all(contender, [clip], within_s=_START_S)
    return time.perf_counter() - began


def stream(contender: Running, clips: Sequence[Clip]) -> Stretch:
    """All files at once."""
    cpu_s, began = contender.cpu_s(), time.perf_counter()
    texts = _all(contender, clips)
    wall_s = time.perf_counter() - began
    return Stretch(
        wall_s,
        contender.cpu_s() - cpu_s,
        sum(map(seconds, clips)),
        len(clips),
        _errors(clips, texts),
        sum(text is None for text in texts),
    )


def alone(contender: Running, clips: Sequence[Clip]) -> list[float]:
    """Clips one at a time: seconds from submit to answer of each."""
    found = []
    for clip in clips:
        began = time.perf_counter()
        _all(contender, [clip], urgent=True)
        found.append(time.perf_counter() - began)
    return found


def loaded(contender: Running, files: Sequence[Clip], clips: Sequence[Clip], *, every_s: float) -> Loaded:
    """Files at once, then a clip every so many seconds, whether or not the one before is done."""
    behind = {job["id"] for job in _send(contender, files)}
    due = time.perf_counter() + every_s  # by then the files are running
    waiting: dict[str, float] = {}
    latencies: list[float] = []
    left = len(behind)
    coming = list(clips)
    while coming or waiting:
        due_in_s = due - time.perf_counter()
        if coming and due_in_s <= 0:
            [job] = _send(contender, [coming.pop(0)], urgent=True)
            waiting[job["id"]] = due  # not the moment of sending: a late job has waited already
            due += every_s
            left = len(behind)
            continue
        found = contender.receive(due_in_s if coming else _SILENT_S)
        if found is None:
            if coming:
                continue
            raise NoAnswerError
        behind.discard(found["id"])
        if (came := waiting.pop(found["id"], None)) is not None:
            latencies.append(time.perf_counter() - came)
    return Loaded(latencies, left)


def invented(contender: Running, clips: Sequence[Clip]) -> int:
    """Words in files that stand for nothing that was said."""
    return sum(errors.invented for errors in _errors(clips, _all(contender, clips)).values())


def killed(contender: Running, clips: Sequence[Clip], *, patience_s: float) -> Killed:
    """Kill the worker when a third of the clips is done, start it again, and wait until nothing comes any more.

    Few clips are sent several times, so that some are done, some run and some wait.
    """
    clips = [*clips] * -(-_FEWEST // len(clips))
    jobs = {job["id"]: clip for job, clip in zip(_send(contender, clips), clips, strict=True)}
    answers: list[str] = []
    began = time.perf_counter()
    while len(answers) < len(jobs) // 3:
        answers.append(_next(contender)["id"])
    time.sleep((time.perf_counter() - began) / len(answers) / 2)  # into the middle of the next
    contender.kill()
    began = last = time.perf_counter()
    contender.revive()
    while set(answers) != set(jobs) and (found := contender.receive(patience_s)):
        answers.append(found["id"])
        last = time.perf_counter()
    lost = [clip for job, clip in jobs.items() if job not in answers]
    return Killed(
        clips=len(clips),
        clips_lost=len(lost),
        words=sum(map(_words, clips)),
        words_lost=sum(map(_words, lost)),
        answered_twice=len(answers) - len(set(answers)),
        after_s=last - began,
    )


def _words(clip: Clip) -> int:
    return len(normalise(clip.text or "", clip.language).split())


def _send(contender: Running, clips: Sequence[Clip], *, urgent: bool = False) -> list[Job]:
    jobs: list[Job] = [
        {
            "id": str(next(_numbers)),
            "path": str(clip.file.resolve()),
            "language": None if clip.language == AUTO else clip.language,
            "urgent": urgent,
        }
        for clip in clips
    ]
    contender.send(jobs)
    return jobs


def _next(contender: Running, within_s: float = _SILENT_S) -> dict[str, Any]:
    found = contender.receive(within_s)
    if found is None:
        raise NoAnswerError
    return found


def _all(
    contender: Running, clips: Sequence[Clip], *, urgent: bool = False, within_s: float = _SILENT_S
) -> list[str | None]:
    jobs = _send(contender, clips, urgent=urgent)
    texts: dict[str, str | None] = {}
    wanted = {job["id"] for job in jobs}
    while texts.keys() != wanted:
        found = _next(contender, within_s)
        if found["id"] in wanted:  # and not answered for the second time
            texts[found["id"]] = found["text"]
    return [texts[job["id"]] for job in jobs]


def _errors(clips: Sequence[Clip], texts: Sequence[str | None]) -> dict[str, Errors]:
    found: dict[str, Errors] = {}
    for clip, text in zip(clips, texts, strict=True):
        if clip.text is not None:
            heard = compare(normalise(clip.text, clip.language), normalise(text or "", clip.language))
            found[clip.language] = found.get(clip.language, Errors()) + heard
    return found
