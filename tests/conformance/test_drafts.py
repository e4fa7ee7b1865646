"""What is called stable while somebody speaks, over real recordings and a real model."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from support.hearing import words
from support.needs import missing
from support.speaking import DATA

from asrq_jobs.errors import AsrqError
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, Chunk, ChunkOptions, Samples, Transcript
from asrq_worker.job.agreement import Agreement

decode_audio = pytest.importorskip("faster_whisper.audio").decode_audio

CLIPS = ("en/jfk.flac", "en/lj001-0004.flac", "en/lj001-0006.flac")
LIKELY = 0.9
"""Share of stable words that the final text has, in their order."""


def hearings(samples: Samples) -> Iterator[Samples]:
    """Yield what is there after each second, and all of it."""
    for stop in range(SAMPLE_RATE, len(samples), SAMPLE_RATE):
        yield samples[:stop]


def test_what_is_stable_stays_and_is_nearly_always_in_the_final_text(speech: Path, tmp_path: Path) -> None:
    from asrq_worker.backends.whisper.backend import WhisperBackend

    clips = [DATA / "hello-en.flac", *(speech / clip for clip in CLIPS)]
    backend = WhisperBackend(BackendConfig("tiny.en", tmp_path))
    try:
        backend.load()
    except AsrqError as error:
        missing(f"the model tiny.en ({error.code})")
    promised = kept = 0
    for clip in clips:
        samples = decode_audio(str(clip), sampling_rate=SAMPLE_RATE)
        agreement = Agreement()
        for part in hearings(samples):
            before = agreement.text[: agreement.stable]
            [heard] = backend.transcribe_batch([Chunk(part, ChunkOptions("en", draft=True))])
            assert isinstance(heard, Transcript)
            agreement.take(heard.text)
            assert agreement.text.startswith(before)
        [final] = backend.transcribe_batch([Chunk(samples, ChunkOptions("en"))])
        assert isinstance(final, Transcript)
        stable, said = words(agreement.text[: agreement.stable]), words(final.text)
        promised += len(stable)
        print(clip.name, stable, said)  # pytest shows it with a failure
        kept += sum(block.size for block in SequenceMatcher(None, stable, said, autojunk=False).get_matching_blocks())
    assert promised > 5 * len(clips)
    assert kept >= LIKELY * promised
