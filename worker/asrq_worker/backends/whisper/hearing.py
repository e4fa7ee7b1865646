"""How Whisper hears one clip: cheap first, dear where in doubt; window after window.

A clip is first heard with its speech and a margin, instead of 30 s of padding, which on a CPU is most of the work. Of
what is searched greedily, most of the margin is not even encoded with the speech.
Where the text is in doubt, the whole 30 s come next.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asrq_worker.backends.base import Chunk, ChunkOptions, TimedSegment, TimedWord, Transcript
from asrq_worker.backends.halves import SPLITTABLE_S
from asrq_worker.backends.spoken import sound
from asrq_worker.backends.whisper import words
from asrq_worker.backends.whisper.doubt import REPETITIVE, SLOW, SLOWEST, doubtful
from asrq_worker.backends.whisper.segments import Span, spans
from asrq_worker.backends.whisper.steps import (
    Align,
    Decode,
    Decoded,
    Detect,
    Encoded,
    Search,
    Steps,
    TokenTimes,
)
from asrq_worker.backends.whisper.windows import FRAMES_PER_SECOND, WHOLE_S, Window, lengths

if TYPE_CHECKING:
    from faster_whisper.tokenizer import Tokenizer

    from asrq_worker.backends.whisper.model import Model

MARGINS_S = (5.0, WHOLE_S)
"""Padding after the speech: the first, and where the text is in doubt."""
_DRAFT_S = 2.0
"""Padding in a draft: two thirds of the work."""

CERTAIN = 0.9
"""Probability of a language from which on no longer window is asked."""
WEIGHTY = 0.01
"""Probability of a language from which on it is told."""

IMPROBABLE = -1.0
"""Mean log probability of tokens below which a decoding has failed (OpenAI's value)."""
SILENT = 0.6
"""No-speech probability above which an improbable decoding is silence (OpenAI's value)."""
REST_S = 0.5
"""What remains of a chunk after its last segment, if shorter and silence to the model itself, gets no text invented."""

TOKENS_PER_SECOND = 40
SPARE_TOKENS = 32
"""No script takes more tokens than these for what can be said; a decoding that does is running away on noise."""

_DRAFT_TOKENS_PER_SECOND = 20
_DRAFT_SPARE_TOKENS = 10
"""In a draft: speech that breaks off within a word makes a model repeat itself, and a loop goes on up to the limit."""

GREEDY, WIDE = Search(1), Search(5)
_GREEDY_FIRST = frozenset({"en"})
"""Languages in which a greedy search makes no more errors than a wide one, if what is in doubt is searched again."""
_GREEDY_S = 12.0
"""Of longer clips, a greedy search loses sentences that a wide one finds."""
_RETRIES = (
    Search(5, no_repeat_ngram_size=4),
    Search(5, no_repeat_ngram_size=3, repetition_penalty=1.15),
)


def draft(chunk: Chunk, model: Model, margins_s: Sequence[float]) -> Steps[Transcript]:
    """As `hear`, as cheaply as can be."""
    margins_s = [margin_s if margin_s >= WHOLE_S else _DRAFT_S for margin_s in margins_s[:1]]
    return hear(chunk, model, GREEDY, margins_s, ())


def hear(
    chunk: Chunk,
    model: Model,
    search: Search | None,
    margins_s: Sequence[float],
    retries: Sequence[Search] = _RETRIES,
) -> Steps[Transcript]:
    """Return what Whisper makes of a chunk.

    Args:
        chunk: finite samples that are not silence, and options that the model can serve.
        model: gives features and tokenizers; what costs is asked for.
        search: how the decoder is to search; None: as the language and doubt ask for.
        margins_s: seconds of padding after the speech, the shortest first; a longer one is for what is in doubt.
        retries: how it is to search where it repeats itself.
    """
    features = model.features(chunk.samples)
    window = Window(features, 0.0)
    language, ranked = chunk.options.language, []
    if language is None:
        ranked = yield from _languages(window, margins_s, chunk.options.languages)
        language = ranked[0][0]
    clip = _Clip(chunk, model, search, margins_s, retries, language)
    while window.seconds:
        heard_s = yield from clip.hear(window)
        start = window.start + heard_s
        window = Window(features[:, round(start * FRAMES_PER_SECOND) :], start)
    return clip.transcript(ranked)


def _languages(window: Window, margins_s: Sequence[float], only: Collection[str]) -> Steps[list[tuple[str, float]]]:
    """Return languages with probabilities, the likeliest first, from the shortest window that is sure of them.

    Where `only` has some, no other is possible.
    """
    ranked: list[tuple[str, float]] = []
    for frames in lengths(window, margins_s):
        ranked = _among(only, (yield Detect((yield from window.encoded(frames)))))
        if ranked[0][1] >= CERTAIN:
            break
    return ranked


def _among(only: Collection[str], ranked: list[tuple[str, float]]) -> list[tuple[str, float]]:
    if not only:
        return ranked
    told = dict(ranked)
    total = sum(told.get(language, 0.0) for language in only) or 1.0
    possible = [(language, told.get(language, 0.0) / total) for language in only]
    return sorted(possible, key=lambda each: -each[1])


class _Clip:
    """A chunk that is being heard: what was found in its windows so far."""

    def __init__(
        self,
        chunk: Chunk,
        model: Model,
        search: Search | None,
        margins_s: Sequence[float],
        retries: Sequence[Search],
        language: str,
    ) -> None:
        self._longest_s = chunk.seconds
        self._sounds = sound(chunk.samples)
        self._word_timestamps = chunk.options.word_timestamps
        self._draft = chunk.options.draft
        self._language = language
        self._model = model
        self._near = search is None and language in _GREEDY_FIRST and chunk.seconds <= _GREEDY_S
        self._first = search or (GREEDY if self._near else WIDE)
        self._again = search or WIDE
        self._margins_s = margins_s
        self._retries = retries
        self._tokenizer = model.tokenizer(language, chunk.options.task)
        self._prompt = _prompt(self._tokenizer, chunk.options, model.longest)
        self._segments: list[TimedSegment] = []
        self._warnings: dict[str, None] = {}
        self._truncated = False

    def hear(self, window: Window) -> Steps[float]:
        """Hear a window, and return up to which of its seconds."""
        decoded, search, encoded = yield from self._best(window)
        rest = window.start > 0 and window.seconds < REST_S
        loop = decoded.compression_ratio > REPETITIVE and window.seconds < SPLITTABLE_S
        loop |= self._draft and decoded.truncated
        if decoded.no_speech > SILENT and (decoded.logprob < IMPROBABLE or loop or rest):
            if not self._segments:  # what follows the last word is no news
                self._warnings["no_speech"] = None
            return window.seconds
        if loop:
            self._warnings["repetition"] = None
            decoded, search = yield from self._without_loop(decoded, search, encoded, window)
        self._truncated |= decoded.truncated
        parts, heard_s = spans(decoded.tokens, self._tokenizer.timestamp_begin, window.seconds)
        timed = yield from self._words(parts, encoded, window)
        self._segments += self._timed(parts, timed, decoded, search, window.start)
        return heard_s

    def transcript(self, ranked: Sequence[tuple[str, float]]) -> Transcript:
        """Return all that was heard; `ranked`: languages that were weighed, the likeliest first."""
        text = "".join(segment.text for segment in self._segments).strip()
        weighed = ranked if self._segments else ()
        return Transcript(
            text=text,
            language=self._language if self._segments else None,
            language_probability=weighed[0][1] if weighed else None,
            languages=tuple(language for language in weighed if language[1] >= WEIGHTY),
            segments=tuple(self._segments),
            warnings=tuple(self._warnings),
            truncated=self._truncated,
        )

    def _best(self, window: Window) -> Steps[tuple[Decoded, Search, Encoded]]:
        """Return what is found in the shortest window whose text is not in doubt, or in the longest, and how.

        A greedy search is repeated by a wide one in the same window first.
        """
        each = [(frames, self._again) for frames in lengths(window, self._margins_s)]
        tries = [(each[0][0], self._first), *each] if self._first != self._again else each
        for frames, search in tries:
            encoded: Encoded = yield from window.encoded(frames, near=self._near)
            decoded: Decoded = yield self._decode(encoded, search, window)
            if not self._doubts(decoded, window, sure=search == self._again):
                break
        return decoded, search, encoded

    def _decode(self, encoded: Encoded, search: Search, window: Window) -> Decode:
        per_second = _DRAFT_TOKENS_PER_SECOND if self._draft else TOKENS_PER_SECOND
        spare = _DRAFT_SPARE_TOKENS if self._draft else SPARE_TOKENS
        plausible = spare + round(per_second * window.seconds)
        return Decode(encoded, self._prompt, search, min(plausible, self._model.longest - len(self._prompt)))

    def _doubts(self, decoded: Decoded, window: Window, *, sure: bool) -> bool:
        slowest = SLOWEST if sure else SLOW
        return doubtful(decoded, self._tokenizer.timestamp_begin, self._sounds, window.start, window.seconds, slowest)

    def _without_loop(
        self, loop: Decoded, search: Search, encoded: Encoded, window: Window
    ) -> Steps[tuple[Decoded, Search]]:
        """Return the likeliest of other searches that does not repeat itself: sampling would not be deterministic."""
        best: tuple[Decoded, Search] | None = None
        for other in self._retries:
            decoded: Decoded = yield self._decode(encoded, other, window)
            if decoded.compression_ratio <= REPETITIVE and (best is None or decoded.logprob > best[0].logprob):
                best = decoded, other
        return best or (loop, search)

    def _words(self, parts: Sequence[Span], encoded: Encoded, window: Window) -> Steps[list[list[TimedWord]] | None]:
        tokens = tuple(token for part in parts for token in part.tokens)
        if not self._word_timestamps or not tokens:
            return None
        start, frames = tuple(self._tokenizer.sot_sequence), window.features.shape[1]
        aligned: TokenTimes = yield Align(encoded, start, tokens, frames)
        found, at = [], 0
        for part in parts:
            until = at + len(part.tokens)
            written = self._written(part.tokens)
            found.append(words.placed(written, aligned.times[at : until + 1], aligned.probabilities[at:until]))
            at = until
        longest = words.longest_s([word for placed in found for word in placed])
        return [words.within(placed, part.start, part.end, longest) for placed, part in zip(found, parts, strict=True)]

    def _written(self, tokens: Sequence[int]) -> list[words.Written]:
        texts, groups = self._tokenizer.split_to_word_tokens([*tokens, self._tokenizer.eot])
        return [words.Written(text, len(group)) for text, group in zip(texts[:-1], groups[:-1], strict=True)]

    def _timed(
        self,
        parts: Sequence[Span],
        timed: Sequence[Sequence[TimedWord]] | None,
        decoded: Decoded,
        search: Search,
        start: float,
    ) -> list[TimedSegment]:
        """Return the segments of a window that starts at `start`; times are those of the chunk, and within it."""

        def within(seconds: float) -> float:
            return min(max(start + seconds, 0.0), self._longest_s)

        segments = []
        for number, part in enumerate(parts):
            text = self._tokenizer.decode(list(part.tokens))
            said = timed[number] if timed else []
            begin, end = (said[0].start, said[-1].end) if said else (part.start, part.end)
            if not text.strip() or begin == end:
                continue
            segments.append(
                TimedSegment(
                    start=within(begin),
                    end=within(end),
                    text=text,
                    tokens=part.tokens,
                    temperature=0.0,
                    avg_logprob=_finite(decoded.logprob),
                    compression_ratio=_finite(decoded.compression_ratio),
                    no_speech_prob=_finite(decoded.no_speech),
                    decoding="greedy" if search.beam_size == 1 else "beam",
                    words=tuple(replace(word, start=within(word.start), end=within(word.end)) for word in said)
                    if timed
                    else None,
                )
            )
        return segments


def _prompt(tokenizer: Tokenizer, options: ChunkOptions, longest: int) -> tuple[int, ...]:
    """Return the decoder's prompt; earlier text and hotwords share the half of the context that is theirs."""
    room = longest // 2 - 1
    hotwords = tokenizer.encode(" " + ", ".join(options.hotwords).strip()) if options.hotwords else []
    before = tokenizer.encode(" " + options.prompt.strip()) if options.prompt else []
    hotwords = hotwords[: room // 2 if before else room]
    context = hotwords + before[len(hotwords) - room :]
    return (*([tokenizer.sot_prev, *context] if context else ()), *tokenizer.sot_sequence)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
