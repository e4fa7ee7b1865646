"""faster-whisper's model, made quick and repeatable on short chunks. Imports the heavy packages.

Three differences from `faster_whisper.WhisperModel` (1.2):

* A short clip is first tried with its speech and a margin instead of 30 s of padding, which on a CPU is most of the
  work; CTranslate2 accepts shorter contexts. Where the model then doubts what it hears, it gets the whole window.
  Alone, trimming costs accuracy; so gated it cost none (`base`, 5 min each of English and Russian clips).
* Language detection and decoding share one encoder pass.
* A decoding that repeats itself is tried again by other searches rather than by sampling at a rising temperature, which
  CTranslate2 does not seed: the same samples always give the same text. So is only what is too short to be heard in
  parts (`whisper_listener`), and it is said: such a search forbids what a speaker may well have repeated.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import TranscriptionOptions
from numpy.typing import NDArray

from asrq_worker.backends.halves import SPLITTABLE_S
from asrq_worker.backends.mel import MelFilters

REPETITIVE = 2.4
"""zlib ratio of a text above which it counts as repeating itself (OpenAI's value)."""
IMPROBABLE = -1.0
"""Mean log probability of tokens below which a decoding has failed (OpenAI's value)."""
REST_FRAMES = 50
"""What remains of a chunk after its last segment, if shorter and silence to the model itself, gets no text invented."""
SILENT = 0.6
"""No-speech probability above which an improbable decoding is silence (OpenAI's value)."""

DOUBTFUL = -0.33
"""Mean log probability of tokens below which what was heard in a trimmed window is heard again in the whole one."""
CERTAIN = 0.9
"""Probability of a language above which a trimmed window is enough to detect it."""

TOKENS_PER_SECOND = 40
SPARE_TOKENS = 32
"""No script takes more tokens than these for what can be said; a decoding that does is running away on noise."""

_FRAMES_PER_SECOND = 100
_WHOLE = 3000
_RETRIES: tuple[dict[str, Any], ...] = (
    {"no_repeat_ngram_size": 4},
    {"no_repeat_ngram_size": 3, "repetition_penalty": 1.15},
)

Features = NDArray[np.float32]
Decoded = tuple[Any, float, float, float]  # CTranslate2's result, mean log probability, temperature, zlib ratio


@dataclass
class Notes:
    """What happened during one `transcribe` that its result does not tell."""

    silence: bool = False
    repetition: bool = False
    truncated: bool = False


class _PerThread(threading.local):
    """The window that a thread works on, and how it was encoded last."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.window: Features | None = None
        self.encoded: ctranslate2.StorageView | None = None
        self.trimmed = False
        self.speech_frames = 0
        self.windows = 0


class TrimmedWhisperModel(WhisperModel):  # type: ignore[misc]  # faster-whisper ships no types
    """See the module. `margin_s`: padding that a trimmed window keeps after the speech, seconds; None: never trim."""

    def __init__(self, path: str, *, margin_s: float | None, **options: Any) -> None:
        super().__init__(path, local_files_only=True, **options)
        self.feature_extractor.mel_filters = MelFilters(self.feature_extractor.mel_filters)
        self._margin_s = margin_s
        self._thread = _PerThread()

    def take_notes(self) -> Notes:
        """Return the notes of this thread's last transcription and start new ones."""
        notes = self._thread.notes
        self._thread.notes = Notes()
        self._thread.window = self._thread.encoded = None
        self._thread.windows = 0
        return notes

    def detect_language(self, *, features: Features, **options: Any) -> tuple[str, float, list[tuple[str, float]]]:
        """Return the language, its probability, and those of all languages."""
        features = features[..., :-1]  # without the frame that decoding leaves out, both see the same window
        found: tuple[str, float, list[tuple[str, float]]] = super().detect_language(features=features, **options)
        if self._thread.trimmed and found[1] < CERTAIN:
            self._encode_whole()
            found = super().detect_language(features=features, **options)
        return found

    def encode(self, features: Features) -> ctranslate2.StorageView:
        """Encode a window of shape (mels, 3000), zero-padded after the speech."""
        thread = self._thread
        if thread.window is None or not np.array_equal(thread.window, features):
            speech = np.flatnonzero(features.any(axis=0))
            thread.speech_frames = int(speech[-1]) + 1 if len(speech) else 0
            frames = self._frames_to_keep(thread.speech_frames)
            thread.window = features
            thread.windows += 1
            thread.trimmed = frames < _WHOLE
            thread.encoded = super().encode(features[:, :frames])
        return thread.encoded

    def _encode_whole(self) -> ctranslate2.StorageView:
        self._thread.trimmed = False
        self._thread.encoded = super().encode(self._thread.window)
        return self._thread.encoded

    def _frames_to_keep(self, speech_frames: int) -> int:
        if self._margin_s is None:
            return _WHOLE
        frames = speech_frames + round(self._margin_s * _FRAMES_PER_SECOND)
        frames += frames % 2  # the encoder halves the rate
        return frames if frames <= _WHOLE // 2 else _WHOLE  # trimming less would not make up for second hearings

    def generate_with_fallback(
        self,
        encoder_output: ctranslate2.StorageView,
        prompt: list[int],
        tokenizer: Tokenizer,
        options: TranscriptionOptions,
    ) -> Decoded:
        """Decode by beam search; if that fails, in the whole window, and then by other searches."""
        plausible = SPARE_TOKENS + TOKENS_PER_SECOND * self._thread.speech_frames // _FRAMES_PER_SECOND
        limit = min(plausible, self.max_length - len(prompt))

        def search(**changes: Any) -> Decoded:
            changed = replace(options, temperatures=[0.0], max_new_tokens=limit, **changes)
            decoded: Decoded = super(TrimmedWhisperModel, self).generate_with_fallback(
                encoder_output, prompt, tokenizer, changed
            )
            return decoded

        first = search()
        if self._thread.trimmed and (first[1] < DOUBTFUL or first[3] > REPETITIVE):
            encoder_output = self._encode_whole()
            first = search()
        result, logprob, _, ratio = first
        rest = self._thread.windows > 1 and self._thread.speech_frames < REST_FRAMES
        loop = ratio > REPETITIVE and self._thread.speech_frames < SPLITTABLE_S * _FRAMES_PER_SECOND
        if result.no_speech_prob > SILENT and (logprob < IMPROBABLE or loop or rest):
            self._thread.notes.silence |= not rest  # the end of the last word is no stretch without speech
            return result, IMPROBABLE, 0.0, ratio  # what makes the base class skip the window
        best = first
        if loop:
            others = [search(**changes) for changes in _RETRIES]
            fluent = [decoded for decoded in others if decoded[3] <= REPETITIVE]
            best = max(fluent, key=lambda decoded: decoded[1], default=first)
            self._thread.notes.repetition = True
        self._thread.notes.truncated |= len(best[0].sequences_ids[0]) >= limit
        return best

    def get_prompt(
        self,
        tokenizer: Tokenizer,
        previous_tokens: list[int],
        without_timestamps: bool = False,
        prefix: str | None = None,
        hotwords: str | None = None,
    ) -> list[int]:
        """Return the decoder's prompt; previous text and hotwords share the half of the context that is theirs."""
        room = self.max_length // 2 - 1
        hot = tokenizer.encode(" " + hotwords.strip()) if hotwords else []
        hot = hot[: room // 2 if previous_tokens else room]
        context = hot + previous_tokens[len(hot) - room :]
        return list(super().get_prompt(tokenizer, context, without_timestamps, prefix))
