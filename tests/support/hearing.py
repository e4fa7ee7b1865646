"""Asking a backend for one chunk, and what holds for whatever it answers."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrq_jobs.errors import AsrqError
from asrq_worker.backends.base import SAMPLE_RATE, Backend, Chunk, ChunkOptions, Samples, Transcript

AUTO = ChunkOptions()

_PROBABILITIES = {"avg_logprob", "no_speech_prob", "language_probability", "probability"}


def read(path: Path) -> Samples:
    """Return the samples of a file, which must have our rate."""
    soundfile = pytest.importorskip("soundfile")
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == SAMPLE_RATE
    return np.asarray(samples, np.float32)


def one(backend: Backend, samples: Samples, options: ChunkOptions = AUTO) -> Transcript | AsrqError:
    """Return what becomes of a single chunk."""
    [outcome] = backend.transcribe_batch([Chunk(samples, options)])
    return outcome


def heard(backend: Backend, samples: Samples, options: ChunkOptions = AUTO) -> Transcript:
    """Return the transcript of a single chunk, after `check`."""
    outcome = one(backend, samples, options)
    assert isinstance(outcome, Transcript), outcome
    check(outcome, len(samples) / SAMPLE_RATE)
    return outcome


def check(transcript: Transcript, longest: float) -> None:
    """Assert what holds for any transcript: it is JSON, its times are within the chunk and in order."""
    json.dumps(asdict(transcript), allow_nan=False)
    if transcript.segments:
        assert transcript.text == "".join(segment.text for segment in transcript.segments).strip()
    if not transcript.text:
        assert (transcript.language, transcript.segments) == (None, ())
    begin, longest = 0.0, longest + 1e-6  # halves of a chunk are added up
    for segment in transcript.segments:
        assert begin <= segment.start <= segment.end <= longest
        begin = segment.start
        for word in segment.words or ():
            assert 0 <= word.start <= word.end <= longest
            assert word.probability is None or 0 <= word.probability <= 1


def assert_same(heard: Transcript, other: Transcript) -> None:
    """Assert what is promised of the same samples in two processes: text, tokens and times; probabilities nearly.

    Nothing of ours differs between them. Libraries may add up in another order, and int8 makes percents of last bits.
    """

    def nearly(fields: dict[str, Any]) -> dict[str, Any]:
        return {
            name: pytest.approx(value, abs=0.05) if name in _PROBABILITIES and value is not None else value
            for name, value in fields.items()
        }

    assert json.loads(json.dumps(asdict(heard)), object_hook=nearly) == json.loads(json.dumps(asdict(other)))


def words(text: str) -> list[str]:
    """Return the words of a text without case and punctuation."""
    return re.findall(r"\w+", text.lower().replace("ё", "е"))


def alike(text: str, reference: str) -> float:
    """Return the share of the reference's words that were recognised."""
    return len(set(words(text)) & set(words(reference))) / len(set(words(reference)))
