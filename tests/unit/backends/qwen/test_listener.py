"""What is tried when the model fails or talks nonsense, with a scripted model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from asrq_jobs.errors import InferenceError, OutOfMemoryError
from asrq_worker.backends.base import SAMPLE_RATE, Chunk, ChunkOptions, Samples, TimedWord, Transcript
from asrq_worker.backends.qwen.listener import Listener
from asrq_worker.backends.qwen.text import ModelOutput

if TYPE_CHECKING:
    from asrq_worker.backends.qwen.model import QwenModel

LOOP = "и так далее, " * 20


class Scripted:
    """Stands where the package stands: answers by a chunk's length in seconds."""

    aligned_languages = frozenset({"en"})

    def __init__(self, answer: Callable[[float], ModelOutput]) -> None:
        self._answer = answer
        self.batches: list[list[float]] = []
        self.freed = 0

    def transcribe(self, chunks: Sequence[Chunk]) -> list[ModelOutput]:
        self.batches.append([round(chunk.seconds, 1) for chunk in chunks])
        return [self._answer(chunk.seconds) for chunk in chunks]

    def align(self, samples: Samples, text: str, language: str) -> tuple[TimedWord, ...]:
        return tuple(TimedWord(word, n * 0.5, n * 0.5 + 9) for n, word in enumerate(text.replace(".", "").split()))

    def free_memory(self) -> None:
        self.freed += 1


def listener(model: Scripted) -> Listener:
    return Listener(cast("QwenModel", model))


def chunk(seconds: float, **options: object) -> Chunk:
    return Chunk(np.ones(round(seconds * SAMPLE_RATE), np.float32), ChunkOptions(**options))  # type: ignore[arg-type]


def said(text: str, language: str | None = "en", *, raw: str | None = None, cut: bool = False) -> ModelOutput:
    return ModelOutput(text, language, text if raw is None else raw, cut)


def test_what_is_well_is_left_alone() -> None:
    model = Scripted(lambda seconds: said(f"{seconds:.0f} s."))
    first, second = listener(model).listen([chunk(3), chunk(20)])
    assert isinstance(first, Transcript)
    assert isinstance(second, Transcript)
    assert (first.text, second.text) == ("3 s.", "20 s.")
    assert (second.segments[0].start, second.segments[0].end, second.warnings) == (0.0, 20.0, ())
    assert model.batches == [[3.0, 20.0]]
    assert listener(model).listen([]) == []


def test_the_guilty_chunk_gets_its_error_and_the_others_their_text() -> None:
    def answer(seconds: float) -> ModelOutput:
        if seconds == 2:
            raise ValueError("bad\nlots of advice")
        return said("well")

    model = Scripted(answer)
    first, bad, last = listener(model).listen([chunk(1), chunk(2), chunk(3)])
    assert isinstance(bad, InferenceError)
    assert bad.message == "The model failed on 2.0 s of speech: bad"
    assert [outcome.text for outcome in (first, last) if isinstance(outcome, Transcript)] == ["well", "well"]
    assert model.batches == [[1.0, 2.0, 3.0], [1.0], [2.0], [3.0]]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_is_the_whole_batchs_error(error: Exception) -> None:
    def answer(seconds: float) -> ModelOutput:
        raise error

    model = Scripted(answer)
    outcomes = listener(model).listen([chunk(1), chunk(2)])
    assert all(isinstance(outcome, OutOfMemoryError) for outcome in outcomes)
    assert (model.batches, model.freed) == ([[1.0, 2.0]], 1)


def test_the_token_limit_splits_again_and_again_down_to_a_floor() -> None:
    model = Scripted(lambda seconds: said("word", cut=True))
    [outcome] = listener(model).listen([chunk(14)])
    assert isinstance(outcome, Transcript)
    assert outcome.truncated
    assert outcome.warnings == ("split_at_token_limit", "truncated")
    lengths = [length for batch in model.batches for length in batch]
    assert min(lengths) >= 4 / 3 - 0.1
    assert outcome.text == " ".join(["word"] * len(outcome.segments))
    assert "".join(segment.text for segment in outcome.segments) == outcome.text
    edges = [(segment.start, segment.end) for segment in outcome.segments]
    assert [end for _, end in edges[:-1]] == pytest.approx([start for start, _ in edges[1:]])
    assert (edges[0][0], edges[-1][1]) == (0.0, pytest.approx(14.0))


def test_halves_that_are_well_end_the_matter() -> None:
    model = Scripted(lambda seconds: said("", None, cut=True) if seconds > 9 else said(f"Half of {seconds:.0f}."))
    [outcome] = listener(model).listen([chunk(10)])
    assert isinstance(outcome, Transcript)
    assert not outcome.truncated
    assert outcome.warnings == ("split_at_token_limit",)
    assert outcome.language == "en"
    assert len(model.batches) == 2


def test_a_loop_is_seen_even_where_the_package_has_hidden_it() -> None:
    model = Scripted(lambda seconds: said("и так далее,", "ru", raw=LOOP) if seconds > 9 else said("Хорошо.", "ru"))
    [split, short] = listener(model).listen([chunk(10), chunk(2)])
    assert isinstance(split, Transcript)
    assert (split.text, split.warnings) == ("Хорошо. Хорошо.", ("split_at_repetition",))
    assert isinstance(short, Transcript)
    assert short.warnings == ()
    [stuck] = listener(Scripted(lambda seconds: said("и так далее,", "ru", raw=LOOP))).listen([chunk(3)])
    assert isinstance(stuck, Transcript)
    assert stuck.warnings == ("repetition",)


def test_a_half_that_fails_fails_the_chunk() -> None:
    def answer(seconds: float) -> ModelOutput:
        if seconds < 9:
            raise ValueError("bad")
        return said("x", cut=True)

    [outcome] = listener(Scripted(answer)).listen([chunk(10)])
    assert isinstance(outcome, InferenceError)


def test_halves_of_unspaced_scripts_are_joined_without_a_space() -> None:
    model = Scripted(lambda seconds: said("x", cut=True) if seconds > 9 else said("你好。", "zh"))
    [outcome] = listener(model).listen([chunk(10)])
    assert isinstance(outcome, Transcript)
    assert outcome.text == "你好。你好。"


def test_words_are_placed_within_their_half() -> None:
    model = Scripted(lambda seconds: said("x", cut=True) if seconds > 9 else said("Say it. Again."))
    [outcome] = listener(model).listen([chunk(10, word_timestamps=True)])
    assert isinstance(outcome, Transcript)
    first, second = outcome.segments
    assert [word.word for word in first.words or ()] == ["Say", " it.", " Again."]
    assert [word.word for word in second.words or ()] == [" Say", " it.", " Again."]
    assert second.words
    assert second.words[0].start == pytest.approx(first.end, abs=1.0)
    assert second.words[-1].end <= 10.0


def test_a_language_without_word_times_keeps_its_text_and_says_so() -> None:
    model = Scripted(lambda seconds: said("Merhaba.", "tr"))
    [outcome] = listener(model).listen([chunk(3, word_timestamps=True)])
    assert isinstance(outcome, Transcript)
    assert (outcome.text, outcome.warnings) == ("Merhaba.", ("no_word_timestamps",))
    assert outcome.segments[0].words is None


def test_punctuation_alone_is_not_aligned() -> None:
    [outcome] = listener(Scripted(lambda seconds: said("..."))).listen([chunk(3, word_timestamps=True)])
    assert isinstance(outcome, Transcript)
    assert outcome.segments[0].words == ()
