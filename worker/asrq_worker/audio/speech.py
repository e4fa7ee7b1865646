"""Finds the speech in decoded audio with the silero VAD that faster-whisper ships. Runs in the decoder process only."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps, get_vad_model

from asrq_worker.backends.base import SAMPLE_RATE, Samples

# Losing speech is worse than keeping silence: generous padding. Pauses of 0.3 s are places to cut at.
_OPTIONS = VadOptions(threshold=0.5, min_silence_duration_ms=300, speech_pad_ms=250)
_BLOCK = 120 * SAMPLE_RATE  # bounds memory, and is under a second's work
_EDGE = SAMPLE_RATE  # Russian clips: 1.3 points of the word error rate
_OVERLAP = 5 * SAMPLE_RATE  # the detector is recurrent: it hears this much before and after a block
_LEVEL = 0.999  # of the amplitudes; a click does not hide how quiet the rest is
_FAINT = 0.02
_USUAL = 0.2

Span = tuple[int, int]


def warm_up() -> None:
    """Load the detector, and all that it loads when it is used."""
    get_vad_model()
    _in_block(np.full(SAMPLE_RATE, _USUAL, dtype=np.float32))


def find(file: BinaryIO, samples: int, *, on_block: Callable[[], None]) -> list[Span]:
    """Return spans of speech as (start, stop) in samples, in order and disjoint.

    `file`, unbuffered, holds `samples` values float32, mono, 16 kHz. `on_block` is called after each two minutes of
    audio.
    """
    spans: list[Span] = []
    for start in range(0, samples, _BLOCK):
        stop = min(start + _BLOCK, samples)
        low, high = max(0, start - _OVERLAP), min(samples, stop + _OVERLAP)
        file.seek(low * 4)
        block = np.frombuffer(file.read((high - low) * 4), dtype="<f4")
        for span in _in_block(block):
            inside = max(low + span[0], start), min(low + span[1], stop)
            if inside[0] >= inside[1]:
                continue
            if spans and inside[0] == start == spans[-1][1]:  # speech that goes on across the border
                inside = spans.pop()[0], inside[1]
            spans.append(inside)
        on_block()
    return keep_edges(spans, samples)


def keep_edges(spans: list[Span], samples: int) -> list[Span]:
    """Stretch the first and last span to the edge of the audio where it is near.

    A clip cut close to its words begins and ends with sounds too faint for the detector, and the padding ends there.
    """
    if not spans:
        return spans
    (first, _), (_, last) = spans[0], spans[-1]
    if first <= _EDGE:
        spans[0] = (0, spans[0][1])
    if samples - last <= _EDGE:
        spans[-1] = (spans[-1][0], samples)
    return spans


def _in_block(block: Samples) -> list[Span]:
    level = float(np.quantile(np.abs(block), _LEVEL))
    if level == 0:
        level = float(np.abs(block).max())
    if level == 0:
        return []
    if not _FAINT < level < 1:  # the detector hears nothing at -60 dBFS, where models still understand
        block = np.clip(block * np.float32(_USUAL / level), -1, 1)
    return [(span["start"], span["end"]) for span in get_speech_timestamps(block, _OPTIONS)]
