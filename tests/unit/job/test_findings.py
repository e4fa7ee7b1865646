"""What the guards say of a job's chunks: speech that has no text is told."""

from __future__ import annotations

import pytest

from asrq_worker.backends.base import ChunkOptions, Transcript
from asrq_worker.job.merge import ChunkTranscript
from asrq_worker.job.transcription import findings

TEXT = Transcript("It may well be late in the evening.", "en")
NOTHING = Transcript("", None)
NOISE = Transcript("", None, warnings=("no_speech",))


@pytest.mark.parametrize(
    ("heard", "told"),
    [
        ([(4, TEXT), (4, TEXT)], ()),
        ([(4, TEXT), (4, NOTHING)], ("too_short",)),
        ([(4, NOTHING), (4, TEXT), (28, NOTHING)], ("too_short",)),
        ([(4, TEXT), (2, NOTHING)], ()),
        ([(4, TEXT), (4, NOISE)], ()),
        ([(4, NOTHING), (1, NOTHING)], ("no_speech",)),
        ([(1, NOISE)], ("no_speech",)),
        ([], ()),
    ],
)
def test_a_chunk_of_speech_without_text_is_told(heard: list[tuple[float, Transcript]], told: tuple[str, ...]) -> None:
    chunks = tuple(ChunkTranscript(30.0 * place, 30.0 * place + each[0], each[1]) for place, each in enumerate(heard))
    assert findings(chunks, ChunkOptions(language="en")) == told
