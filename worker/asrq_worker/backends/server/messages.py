"""What is said to an inference server and what it answers: pure functions over bytes.

Requests and answers are those of OpenAI's API (https://platform.openai.com/docs/api-reference/audio), with what vLLM,
`qwen-asr-serve` and speaches do otherwise.
"""

from __future__ import annotations

import base64
import io
import re
import wave
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from asrq_jobs import languages
from asrq_jobs.errors import MalformedOutputError, UnknownLanguageError
from asrq_worker.backends.base import (
    SAMPLE_RATE,
    ChunkOptions,
    Samples,
    TimedSegment,
    TimedWord,
    Transcript,
)


class Detail(IntEnum):
    """How much a server tells about a transcript."""

    TEXT = 0
    SEGMENTS = 1
    WORDS = 2


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Word(_Answer):
    word: str
    start: FiniteFloat
    end: FiniteFloat
    probability: FiniteFloat | None = None


class _Segment(_Answer):
    start: FiniteFloat
    end: FiniteFloat
    text: str
    tokens: tuple[int, ...] | None = None
    temperature: FiniteFloat | None = None
    avg_logprob: FiniteFloat | None = None
    compression_ratio: FiniteFloat | None = None
    no_speech_prob: FiniteFloat | None = None
    words: tuple[_Word, ...] | None = None


class _Transcription(_Answer):
    text: str
    language: str | None = None
    segments: tuple[_Segment, ...] | None = None
    words: tuple[_Word, ...] | None = None


class _ChatMessage(_Answer):
    content: str


class _Choice(_Answer):
    message: _ChatMessage
    finish_reason: str | None = None


class _Completion(_Answer):
    choices: tuple[_Choice, ...] = Field(min_length=1)


class _Model(_Answer):
    id: str


class _Models(_Answer):
    data: tuple[_Model, ...]


_Parsed = TypeVar("_Parsed", bound=BaseModel)

# Qwen3-ASR writes `language English<asr_text>` before its text, `language None` where it hears no speech.
_TAG = re.compile(r"(</?asr_text>)")
_NAMED = re.compile(r"\blanguage\s+(?=\S)([^<>\n]+)\Z")
_LONGEST_NAME = 100  # characters; the search before a tag goes no further back
_MOST_NAMES = 8
_CONTROL = re.compile(r"<\|[^|<>]*\|>|</?asr_text>")


def wav(samples: Samples) -> bytes:
    """Return samples of shape (n,), 16 kHz within [-1, 1], as a WAV file of 16 bits; beyond that they are clipped.

    Samples that came from 16 bits are the same again.
    """
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2").tobytes())
    return file.getvalue()


def transcription(model: str, audio: bytes, options: ChunkOptions, detail: Detail) -> dict[str, Any]:
    """Return the content of `POST /v1/audio/transcriptions`, for httpx."""
    fields: dict[str, str | list[str]] = {"model": model, "temperature": "0"}
    fields["response_format"] = "json" if detail is Detail.TEXT else "verbose_json"
    if detail is not Detail.TEXT:
        fields["timestamp_granularities[]"] = ["segment", "word"] if detail is Detail.WORDS else ["segment"]
    if options.language is not None:
        fields["language"] = options.language
    if told := _context(options):
        fields["prompt"] = told
    return {"data": fields, "files": {"file": ("chunk.wav", audio, "audio/wav")}}


def completion(model: str, audio: bytes, options: ChunkOptions) -> dict[str, Any]:
    """Return the content of `POST /v1/chat/completions` as vLLM takes audio, for httpx."""
    url = f"data:audio/wav;base64,{base64.b64encode(audio).decode()}"
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "audio_url", "audio_url": {"url": url}}]}]
    if told := _context(options):
        messages.insert(0, {"role": "system", "content": told})
    return {"json": {"model": model, "messages": messages, "temperature": 0, "stream": False}}


def _context(options: ChunkOptions) -> str:
    """Return the prompt and, on a line of their own, the hotwords.

    What a server's tokenizer would take for control tokens is left out: it would end the message.
    """
    parts = (options.prompt, ", ".join(options.hotwords))
    return _CONTROL.sub(" ", "\n".join(part for part in parts if part)).strip()


def read_transcription(body: bytes, options: ChunkOptions, seconds: float) -> Transcript:
    """Return the transcript that an answer to `transcription` holds; times are kept within the chunk's `seconds`.

    Raises:
        MalformedOutputError: it is not JSON, lacks the text, or a field is of another type.
    """
    answer = _parse(_Transcription, body)
    text, leaked = _strip_leaked(answer.text)
    if not text:
        return Transcript("", None)
    return Transcript(
        text,
        options.language or _code(answer.language) or leaked,
        segments=_timed(answer, text, seconds),
    )


def read_completion(body: bytes, options: ChunkOptions) -> Transcript:
    """Return the transcript that an answer to `completion` holds.

    Raises:
        MalformedOutputError: it is not JSON, lacks the text, or a field is of another type.
    """
    choice = _parse(_Completion, body).choices[0]
    text, leaked = _strip_leaked(choice.message.content)
    cut = choice.finish_reason == "length"
    return Transcript(
        text,
        options.language or leaked if text else None,
        warnings=("truncated",) if cut else (),
        truncated=cut,
    )


def read_models(body: bytes) -> tuple[str, ...]:
    """Return the names in an answer to `GET /v1/models`.

    Raises:
        MalformedOutputError: it is something else.
    """
    return tuple(model.id for model in _parse(_Models, body).data)


def _strip_leaked(text: str) -> tuple[str, str | None]:
    """Return a text without Qwen3-ASR's markup, and the first language that the markup names, as a code."""
    parts, names = _unmarked(text)
    return " ".join(" ".join(parts).split()), next(filter(None, map(_code, names[:_MOST_NAMES])), None)


def _unmarked(text: str) -> tuple[list[str], list[str]]:
    """Return the text between the markup, and the languages that it names."""
    parts, names = _TAG.split(text), []
    for place, tag in enumerate(parts):
        before = parts[place - 1]
        if tag == "<asr_text>" and (named := _NAMED.search(before, len(before) - _LONGEST_NAME)):
            names.append(named[1])
            parts[place - 1] = before[: named.start()]
    return parts[::2], names


def _code(name: str | None) -> str | None:
    """Return the code for `english`, `English`, `en`, `en-US` or `Chinese,English` (its first); else None."""
    for part in re.split(r"[,;/]", name or ""):
        try:
            code = languages.normalize(part)
        except UnknownLanguageError:
            continue
        if code != languages.AUTO:
            return code
    return None


def _parse(kind: type[_Parsed], body: bytes) -> _Parsed:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise MalformedOutputError(
            f"The inference server's answer is malformed{f' at {where}' if where else ''}: {first['msg']}.",
            hint="Check that ASRQ_SERVER_URL is that of an OpenAI-compatible server.",
        ) from None


def _timed(answer: _Transcription, text: str, seconds: float) -> tuple[TimedSegment, ...]:
    """Return the segments in order; words listed apart from them go to the segment they fall into."""
    segments = sorted(answer.segments or (), key=lambda segment: segment.start)
    beside = sorted(answer.words or (), key=lambda word: word.start)
    if not segments:
        if not beside:
            return ()
        segments = [_Segment(start=beside[0].start, end=beside[-1].end, text=text)]
    own: list[list[_Word]] = [list(segment.words or ()) for segment in segments]
    if not any(own):
        for word in beside:
            begun = [n for n, segment in enumerate(segments) if segment.start <= (word.start + word.end) / 2]
            own[begun[-1] if begun else 0].append(word)
    # Some servers leave out the space before each segment's text, without which they do not join.
    texts = ["".join(_unmarked(segment.text)[0]) for segment in segments]
    if " ".join("".join(texts).split()) != text:
        texts = [f" {part.strip()}" for part in texts]
    return tuple(
        _segment(segment, part, words, seconds) for segment, part, words in zip(segments, texts, own, strict=True)
    )


def _segment(segment: _Segment, text: str, words: Sequence[_Word], seconds: float) -> TimedSegment:
    # vLLM puts -1 for the statistics that it does not compute; no text has such a ratio.
    counted = segment.compression_ratio is None or segment.compression_ratio > 0
    start, end = _span(segment.start, segment.end, seconds)
    return TimedSegment(
        start,
        end,
        text,
        tokens=segment.tokens,
        temperature=segment.temperature,
        avg_logprob=segment.avg_logprob if counted else None,
        compression_ratio=segment.compression_ratio if counted else None,
        no_speech_prob=segment.no_speech_prob if counted else None,
        words=tuple(TimedWord(word.word, *_span(word.start, word.end, seconds), word.probability) for word in words)
        or None,
    )


def _span(start: float, end: float, seconds: float) -> tuple[float, float]:
    begin = round(min(max(start, 0.0), seconds), 3)
    return begin, max(begin, round(min(max(end, 0.0), seconds), 3))
