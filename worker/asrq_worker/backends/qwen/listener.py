"""Gets the best of the model for each chunk: finds the one that makes a batch fail, splits what comes out wrong."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asrq_jobs.errors import AsrqError, OutOfMemoryError
from asrq_worker.backends import guards
from asrq_worker.backends.base import SAMPLE_RATE, Chunk, TimedSegment, TimedWord, Transcript
from asrq_worker.backends.failures import explain
from asrq_worker.backends.halves import SPLITTABLE_S, halves, joined
from asrq_worker.backends.qwen.text import ModelOutput, spell

if TYPE_CHECKING:
    from asrq_worker.backends.qwen.model import QwenModel

log = logging.getLogger(__name__)


class Listener:
    """Chunks must hold finite samples that are not silence, and options that the model can serve.

    A chunk whose answer ran into the token limit, or in circles, is split at a quiet place and its halves are heard
    alone, down to a few seconds; `warnings` say so.
    """

    def __init__(self, model: QwenModel) -> None:
        self._model = model

    def listen(self, chunks: Sequence[Chunk]) -> list[Transcript | AsrqError]:
        """Transcribe chunks of speech, with the times of words where they are asked for."""
        return [
            self._timed(chunk, outcome) if chunk.options.word_timestamps else outcome
            for chunk, outcome in zip(chunks, self._transcribe(chunks), strict=True)
        ]

    def _transcribe(self, chunks: Sequence[Chunk]) -> list[Transcript | AsrqError]:
        answers = self._attempt(chunks)
        return [
            answer if isinstance(answer, AsrqError) else self._settled(chunk, answer)
            for chunk, answer in zip(chunks, answers, strict=True)
        ]

    def _attempt(self, chunks: Sequence[Chunk]) -> list[ModelOutput | AsrqError]:
        """Ask the model once; if it raises, ask for each chunk alone to find the guilty one."""
        if not chunks:
            return []
        try:
            return list(self._model.transcribe(chunks))
        except Exception as error:  # noqa: BLE001  # the libraries below raise what they like
            failure = explain(error, sum(chunk.seconds for chunk in chunks))
        if isinstance(failure, OutOfMemoryError):
            self._model.free_memory()
        elif len(chunks) > 1:
            return [answer for chunk in chunks for answer in self._attempt([chunk])]
        return [failure] * len(chunks)

    def _settled(self, chunk: Chunk, heard: ModelOutput) -> Transcript | AsrqError:
        looping = guards.repetition(heard.raw_text) is not None
        if (heard.cut or looping) and chunk.seconds >= SPLITTABLE_S:
            return self._split(chunk, "split_at_token_limit" if heard.cut else "split_at_repetition")
        warnings = {"repetition": looping, "truncated": heard.cut}
        return Transcript(
            heard.text,
            heard.language if heard.text else None,
            segments=(TimedSegment(0.0, chunk.seconds, heard.text),) if heard.text else (),
            warnings=tuple(name for name, so in warnings.items() if so),
            truncated=heard.cut,
        )

    def _split(self, chunk: Chunk, why: str) -> Transcript | AsrqError:
        parts = halves(chunk)
        left, right = self._transcribe(parts)
        if isinstance(left, AsrqError):
            return left
        if isinstance(right, AsrqError):
            return right
        return joined(left, right, parts[0].seconds, why)

    def _timed(self, chunk: Chunk, outcome: Transcript | AsrqError) -> Transcript | AsrqError:
        """Add the times of words."""
        if isinstance(outcome, AsrqError) or not outcome.text:
            return outcome
        if outcome.language not in self._model.aligned_languages:  # detected, so nobody could know before
            return replace(outcome, warnings=(*outcome.warnings, "no_word_timestamps"))
        try:
            segments = tuple(self._aligned(chunk, segment, outcome.language) for segment in outcome.segments)
        except Exception as error:  # noqa: BLE001  # as in `_attempt`
            return explain(error, chunk.seconds)
        return replace(outcome, segments=segments)

    def _aligned(self, chunk: Chunk, segment: TimedSegment, language: str) -> TimedSegment:
        if not any(map(str.isalnum, segment.text)):  # the aligner fails on a text without words
            return replace(segment, words=())
        samples = chunk.samples[round(segment.start * SAMPLE_RATE) : round(segment.end * SAMPLE_RATE)]
        words = self._model.align(samples, segment.text, language)

        def within(seconds: float) -> float:
            return min(segment.start + seconds, segment.end)

        spelled = spell([word.word for word in words], segment.text)
        timed = tuple(
            TimedWord(text, within(word.start), within(word.end)) for text, word in zip(spelled, words, strict=True)
        )
        return replace(segment, start=timed[0].start, end=timed[-1].end, words=timed)
