"""Where a chunk is cut, and what two parts of one are together."""

from __future__ import annotations

import numpy as np

from asrq_worker.backends.base import SAMPLE_RATE, Chunk, ChunkOptions, TimedSegment, TimedWord, Transcript
from asrq_worker.backends.halves import _quietest_near_middle, halves, joined


def test_the_quietest_place_is_near_the_middle() -> None:
    samples = np.ones(6 * SAMPLE_RATE, np.float32)
    samples[: SAMPLE_RATE // 2] = 0  # quiet, but not near the middle
    pause = slice(int(2.5 * SAMPLE_RATE), int(2.6 * SAMPLE_RATE))
    samples[pause] = 0.01
    assert pause.start <= _quietest_near_middle(samples) < pause.stop


def test_halves_are_the_chunk() -> None:
    chunk = Chunk(np.arange(16, dtype=np.float32).repeat(4000), ChunkOptions(language="ru", word_timestamps=True))
    left, right = halves(chunk)
    assert np.array_equal(np.concatenate([left.samples, right.samples]), chunk.samples)
    assert left.options == right.options == chunk.options


def test_the_right_part_moves_with_its_words() -> None:
    left = Transcript("One.", "en", 0.5, (TimedSegment(0.0, 1.0, " One."),), ("no_speech",))
    words = (TimedWord(" Two", 0.25, 0.5), TimedWord(" three.", 0.5, 1.0))
    right = Transcript(
        "Two three.", "en", 0.75, (TimedSegment(0.25, 1.0, " Two three.", words=words),), ("repetition",)
    )
    whole = joined(left, right, 2.0, "split_at_repetition")
    assert (whole.text, whole.language, whole.language_probability) == ("One. Two three.", "en", 0.75)
    assert "".join(segment.text for segment in whole.segments).strip() == whole.text
    moved = whole.segments[1]
    assert (moved.start, moved.end) == (2.25, 3.0)
    assert [(word.start, word.end) for word in moved.words or ()] == [(2.25, 2.5), (2.5, 3.0)]
    assert whole.warnings == ("split_at_repetition", "no_speech", "repetition")


def test_a_part_without_words_leaves_the_other_as_it_is() -> None:
    heard = Transcript("One.", "en", 0.5, (TimedSegment(0.0, 1.0, " One."),))
    assert joined(heard, Transcript("", None), 2.0) == heard
    moved = joined(Transcript("", None), heard, 2.0)
    assert (moved.text, moved.segments[0].text.strip(), moved.segments[0].start) == ("One.", "One.", 2.0)
