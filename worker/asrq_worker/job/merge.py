"""Joins the transcripts of a job's chunks into one text with times from the start of the audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrq_jobs.atoms import joined
from asrq_jobs.result import Segment, Word
from asrq_worker.backends.base import TimedSegment, TimedWord, Transcript

_DIGITS = 3  # milliseconds


@dataclass(frozen=True)
class ChunkTranscript:
    """A transcript with the place of its chunk, in seconds from the start of the audio, and its channel, if each is
    heard for itself."""

    start: float
    end: float
    transcript: Transcript
    channel: int | None = None


@dataclass(frozen=True)
class _Merged:
    """One transcript of the whole audio."""

    text: str
    segments: tuple[Segment, ...]
    words: tuple[Word, ...]
    language: str | None
    language_probability: float | None
    warnings: tuple[str, ...]
    truncated: bool


def merge(chunks: Sequence[ChunkTranscript], *, word_timestamps: bool) -> _Merged:
    """Join chunks that are ordered by time.

    The language is the one with the most seconds of recognised speech; its probability the mean over its chunks,
    weighted by length, or None where the backend gave none. Times lie within their chunk, those of words within their
    segment, in order: whatever a backend says, nothing begins before what precedes it, or ends after the next has begun
    or the audio has ended. That holds for each channel: what is said on several is put in the order in which it begins.
    """
    segments: list[Segment] = []
    for chunk in chunks:
        segments += _segments(chunk, len(segments), word_timestamps=word_timestamps)
    words = [word for segment in segments for word in segment.words or ()]
    texts = [chunk.transcript.text for chunk in chunks]
    if any(chunk.channel is not None for chunk in chunks):
        segments.sort(key=lambda segment: segment.start)
        segments = [segment.model_copy(update={"id": number}) for number, segment in enumerate(segments)]
        words.sort(key=lambda word: word.start)
        texts = [segment.text for segment in segments]
    language, probability = _language(chunks)
    return _Merged(
        text=joined(texts),
        segments=tuple(segments),
        words=tuple(words),
        language=language,
        language_probability=probability,
        warnings=tuple(dict.fromkeys(warning for chunk in chunks for warning in chunk.transcript.warnings)),
        truncated=any(chunk.transcript.truncated for chunk in chunks),
    )


def _whole(chunk: ChunkTranscript) -> tuple[TimedSegment, ...]:
    text = chunk.transcript.text
    return (TimedSegment(start=0.0, end=chunk.end - chunk.start, text=text),) if text.strip() else ()


def _segments(chunk: ChunkTranscript, number: int, *, word_timestamps: bool) -> list[Segment]:
    """Return a chunk's segments, numbered from `number`."""
    found = chunk.transcript.segments or _whole(chunk)
    spans = _in_order(found, chunk.start, (chunk.start, chunk.end))
    return [
        Segment(
            id=number + index,
            seek=round(chunk.start * 100),
            start=start,
            end=end,
            text=timed.text,
            tokens=timed.tokens,
            temperature=timed.temperature,
            avg_logprob=timed.avg_logprob,
            compression_ratio=timed.compression_ratio,
            no_speech_prob=timed.no_speech_prob,
            decoding=timed.decoding,
            language=chunk.transcript.language,
            words=_words(timed.words or (), chunk, (start, end)) if word_timestamps else None,
            channel=chunk.channel,
        )
        for index, (timed, (start, end)) in enumerate(zip(found, spans, strict=True))
    ]


def _words(words: Sequence[TimedWord], chunk: ChunkTranscript, within: tuple[float, float]) -> tuple[Word, ...]:
    return tuple(
        Word(
            word=word.word,
            start=start,
            end=end,
            probability=word.probability,
            confidence=None if word.confidence is None else round(word.confidence, 3),
            channel=chunk.channel,
        )
        for word, (start, end) in zip(words, _in_order(words, chunk.start, within), strict=True)
    )


def _in_order(
    timed: Sequence[TimedSegment | TimedWord], offset: float, within: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return starts and ends moved by an offset: within these bounds, none before the last one.

    Of two that overlap, the first ends where the second begins; one that would begin earlier begins at its end.
    """
    low, high = (round(bound, _DIGITS) for bound in within)
    spans: list[tuple[float, float]] = []
    for each in timed:
        start, end = (min(max(round(offset + seconds, _DIGITS), low), high) for seconds in (each.start, each.end))
        if spans:
            before, until = spans[-1]
            start = start if start >= before else until
            spans[-1] = before, min(until, start)
        spans.append((start, max(start, end)))
    return spans


def _language(chunks: Sequence[ChunkTranscript]) -> tuple[str | None, float | None]:
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
