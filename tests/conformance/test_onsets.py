"""Speech that comes after a long silence is found as early as any other, with the real detector."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from asrq_worker.backends.base import SAMPLE_RATE, Samples

decode_audio = pytest.importorskip("faster_whisper.audio").decode_audio


HEARD_LATE = {
    *("en/lj001-0006.flac", "en/lj001-0007.flac", "en/lj001-0014.flac", "en/lj001-0015.flac", "en/mfa_cold.flac"),
    *("ru/nsh_ru_0140.flac", "ru/nsh_ru_0171.flac"),
}
"""Of all clips, those that a detector that never starts afresh hears more than the padding too late."""


def onset(samples: Samples, *, silence_s: int) -> float:
    """Return where speech is found, in seconds after so much silence."""
    from asrq_worker.audio.speech import find

    preceded = np.concatenate([np.zeros(silence_s * SAMPLE_RATE, np.float32), samples])
    spans = find(io.BytesIO(preceded.tobytes()), len(preceded), on_block=lambda: None)
    return spans[0][0] / SAMPLE_RATE - silence_s if spans else len(samples) / SAMPLE_RATE


def test_a_long_silence_makes_the_detector_no_later(speech: Path) -> None:
    """It heard one soft speaker 3.5 s late, and six clips of others later than the padding covers.

    Heard here are these clips, and one of each speaker.
    """
    found = [json.loads(line) for line in (speech / "manifest.jsonl").read_text("utf-8").splitlines()]
    clips = {clip["path"]: clip["speaker"] for clip in found if clip["kind"] == "clip"}
    assert clips.keys() >= HEARD_LATE
    late = {}
    for path in {*HEARD_LATE, *{speaker: path for path, speaker in clips.items()}.values()}:
        samples = decode_audio(str(speech / path), sampling_rate=SAMPLE_RATE)
        late[path] = onset(samples, silence_s=30) - onset(samples, silence_s=2)
    assert {path: by for path, by in late.items() if by > 0.25} == {}
