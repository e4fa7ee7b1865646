"""faster-whisper's model, made quick and repeatable on short chunks. Imports the heavy packages.

Three differences from `faster_whisper.WhisperModel` (1.2):

* The encoder gets the speech and a margin, not 30 s of padding: CTranslate2 accepts shorter contexts, and on a CPU
  the padding is most of the work for a short clip.
* Language detection and decoding share one encoder pass.
* Failed decodings (too repetitive, too improbable) are tried again by other searches rather than by sampling at
  a rising temperature, which CTranslate2 does not seed: the same samples always give the same text.
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

REPETITIVE = 2.4
"""zlib ratio of a text above which it counts as repeating itself (OpenAI's value)."""
IMPROBABLE = -1.0
"""Mean log probability of tokens below which a decoding has failed (OpenAI's value)."""
SILENT = 0.6
"""No-speech probability above which an improbable decoding is silence (OpenAI's value)."""

_FRAMES_PER_SECOND = 100
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
    def __init__(self) -> None:
        self.notes = Notes()
        self.features: Features | None = None
        self.encoded: ctranslate2.StorageView | None = None


class TrimmedWhisperModel(WhisperModel):  # type: ignore[misc]  # faster-whisper ships no types
    """See the module. `margin_s`: padding kept after the speech, seconds; None: all of it."""

    def __init__(self, path: str, *, margin_s: float | None, **options: Any) -> None:
        super().__init__(path, local_files_only=True, **options)
        self._margin_s = margin_s
        self._thread = _PerThread()

    def take_notes(self) -> Notes:
        """Return the notes of this thread's last transcription and start new ones."""
        notes = self._thread.notes
        self._thread.notes = Notes()
        self._thread.features = self._thread.encoded = None
        return notes

    def detect_language(self, *, features: Features, **options: Any) -> Any:
        # The last frame is padding that decoding leaves out; without it both encode the same.
        return super().detect_language(features=features[..., :-1], **options)

    def encode(self, features: Features) -> ctranslate2.StorageView:
        """Encode a window of shape (mels, 3000), zero-padded behind the speech."""
        thread = self._thread
        if thread.features is None or not np.array_equal(thread.features, features):
            thread.features = features
            thread.encoded = super().encode(self._trim(features))
        return thread.encoded

    def _trim(self, features: Features) -> Features:
        if self._margin_s is None:
            return features
        speech = np.flatnonzero(features.any(axis=0))
        frames = (speech[-1] + 1 if len(speech) else 0) + round(self._margin_s * _FRAMES_PER_SECOND)
        return features[:, : frames + frames % 2]  # the encoder halves the rate

    def generate_with_fallback(
        self,
        encoder_output: ctranslate2.StorageView,
        prompt: list[int],
        tokenizer: Tokenizer,
        options: TranscriptionOptions,
    ) -> Decoded:
        """Decode by beam search, and by other searches if that failed."""
        tried: list[Decoded] = []
        for changes in ({}, *_RETRIES):
            decoded: Decoded = super().generate_with_fallback(
                encoder_output, prompt, tokenizer, replace(options, temperatures=[0.0], **changes)
            )
            result, logprob, _, ratio = decoded
            if logprob < IMPROBABLE and result.no_speech_prob > SILENT:
                self._thread.notes.silence = True
                return decoded
            tried.append(decoded)
            if ratio <= REPETITIVE:
                break
        fluent = [decoded for decoded in tried if decoded[3] <= REPETITIVE]
        best = max(fluent or tried, key=lambda decoded: decoded[1])
        self._thread.notes.repetition |= not fluent
        self._thread.notes.truncated |= len(prompt) + len(best[0].sequences_ids[0]) >= self.max_length
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
