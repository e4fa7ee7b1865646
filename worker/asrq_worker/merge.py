"""Joins the transcripts of a job's chunks into one text with times from the start of the audio."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from asrq_jobs.result import Segment, Word
from asrq_worker.backends.base import TimedSegment, TimedWord, Transcript

_DIGITS = 3  # milliseconds


@dataclass(frozen=True)
class Placed:
    """A transcript and where its chunk lies; seconds from the start of the audio."""

    start: float
    end: float
    transcript: Transcript


@dataclass(frozen=True)
class Merged:
    """One transcript of the whole audio."""

    text: str
    segments: tuple[Segment, ...]
    words: tuple[Word, ...]
    language: str | None
    language_probability: float | None
    warnings: tuple[str, ...]
    truncated: bool


def merge(chunks: Sequence[Placed], *, word_timestamps: bool) -> Merged:
    """Join chunks that are ordered by time.

    The language is the one with the most seconds of recognised speech; its probability the mean over its chunks,
    weighted by length, or None where the backend gave none.
    """
    segments: list[Segment] = []
    text = ""
    for chunk in chunks:
        found = chunk.transcript
        text = join(text, found.text)
        for timed in found.segments or _whole(chunk):
            segments.append(_segment(len(segments), chunk, timed, word_timestamps=word_timestamps))
    language, probability = _language(chunks)
    return Merged(
        text=text,
        segments=tuple(segments),
        words=tuple(word for segment in segments for word in segment.words or ()),
        language=language,
        language_probability=probability,
        warnings=tuple(dict.fromkeys(warning for chunk in chunks for warning in chunk.transcript.warnings)),
        truncated=any(chunk.transcript.truncated for chunk in chunks),
    )


def join(left: str, right: str) -> str:
    """Join two texts with a space, or without one between characters of scripts that write none."""
    left, right = left.rstrip(), right.strip()
    if not left or not right:
        return left or right
    return left + ("" if _unspaced(left[-1]) and _unspaced(right[0]) else " ") + right


def _unspaced(character: str) -> bool:
    # Chinese, Japanese and their full-width punctuation; Korean writes spaces.
    name = unicodedata.name(character, "")
    return unicodedata.east_asian_width(character) in "WF" and not name.startswith("HANGUL")


def _whole(chunk: Placed) -> tuple[TimedSegment, ...]:
    text = chunk.transcript.text
    return (TimedSegment(start=0.0, end=chunk.end - chunk.start, text=text),) if text.strip() else ()


def _segment(number: int, chunk: Placed, timed: TimedSegment, *, word_timestamps: bool) -> Segment:
    return Segment(
        id=number,
        seek=round(chunk.start * 100),
        start=round(chunk.start + timed.start, _DIGITS),
        end=round(chunk.start + timed.end, _DIGITS),
        text=timed.text,
        tokens=timed.tokens,
        temperature=timed.temperature,
        avg_logprob=timed.avg_logprob,
        compression_ratio=timed.compression_ratio,
        no_speech_prob=timed.no_speech_prob,
        language=chunk.transcript.language,
        words=tuple(_word(chunk.start, word) for word in timed.words or ()) if word_timestamps else None,
    )


def _word(offset: float, word: TimedWord) -> Word:
    return Word(
        word=word.word,
        start=round(offset + word.start, _DIGITS),
        end=round(offset + word.end, _DIGITS),
        probability=word.probability,
    )


def _language(chunks: Sequence[Placed]) -> tuple[str | None, float | None]:
    heard = [chunk for chunk in chunks if chunk.transcript.language and chunk.transcript.text.strip()]
    seconds: dict[str, float] = {}
    for chunk in heard:
        language = chunk.transcript.language or ""
        seconds[language] = seconds.get(language, 0.0) + chunk.end - chunk.start
    if not seconds:
        return None, None
    winner = max(seconds, key=lambda code: (seconds[code], code))
    rated = [
        (chunk.transcript.language_probability, chunk.end - chunk.start)
        for chunk in heard
        if chunk.transcript.language == winner and chunk.transcript.language_probability is not None
    ]
    if not rated:
        return winner, None
    return winner, sum(p * s for p, s in rated) / sum(s for _, s in rated)
