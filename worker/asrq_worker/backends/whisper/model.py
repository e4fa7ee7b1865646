"""Whisper's parts, each as a function of many clips: features, encoder, decoder, alignment. Imports the heavy packages.

On a CPU the encoder is the cost and gains nothing from a batch, while padding costs: each clip is encoded alone, at its
own length. On CUDA it gains. The decoder gains everywhere, among clips whose encodings are of equal length.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_compression_ratio, get_suppressed_tokens

from asrq_worker.backends.base import Samples
from asrq_worker.backends.whisper.encoder import Encoder
from asrq_worker.backends.whisper.mel import MelFilters
from asrq_worker.backends.whisper.room import MOST_FRAMES, Need, measure
from asrq_worker.backends.whisper.segments import TIMES_PER_SECOND
from asrq_worker.backends.whisper.steps import (
    Align,
    Decode,
    Decoded,
    Detect,
    Encode,
    Encoded,
    Features,
    Request,
    TokenTimes,
)
from asrq_worker.backends.whisper.windows import WHOLE

_LATEST_START_S = 1.0  # of the first segment in a window, as OpenAI has it


class Model:
    """A loaded Whisper. Thread-safe: as many calls run side by side as `parallel` says."""

    def __init__(
        self, path: str, *, device: str, compute_type: str, cpu_threads: int, parallel: int, lone_threads: int = 0
    ) -> None:
        """Load it; `lone_threads`: with how many windows are encoded while nothing else is heard, if more."""
        loaded = WhisperModel(
            path,
            device=device,
            compute_type=compute_type,
            cpu_threads=cpu_threads,
            num_workers=parallel,
            local_files_only=True,
        )
        self._network: ctranslate2.models.Whisper = loaded.model
        wide = None
        if lone_threads > cpu_threads:
            wide = ctranslate2.models.Whisper(path, compute_type=compute_type, intra_threads=lone_threads)
        self._encoder = Encoder(self._network, wide)
        self.hearing = self._encoder.hearing
        self._vocabulary = loaded.hf_tokenizer
        self._extractor = loaded.feature_extractor
        self._extractor.mel_filters = MelFilters(self._extractor.mel_filters)
        self._on_cpu = device == "cpu"
        self._silence = self._encoder.encode(np.zeros((1, self._network.n_mels, WHOLE), np.float32))
        self.multilingual = bool(self._network.is_multilingual)
        self.longest: int = loaded.max_length
        """Tokens of prompt and text together."""
        self.frames_together = MOST_FRAMES
        """Frames decoded together on a CPU."""
        self._suppressed = list(get_suppressed_tokens(self.tokenizer("en", "transcribe"), [-1]))

    @functools.cache  # noqa: B019  # lives as long as the process
    def tokenizer(self, language: str, task: str) -> Tokenizer:
        """Return the tokenizer for a language (ISO 639-1 code) and a task."""
        return Tokenizer(self._vocabulary, self.multilingual, task=task, language=language)

    def knows(self, language: str) -> bool:
        """Whether there is a token for a language (ISO 639-1 code)."""
        return self._vocabulary.token_to_id(f"<|{language}|>") is not None

    def need(self) -> Need:
        """Measure what a decode takes of a CPU's memory, which takes a moment."""
        tokenizer = self.tokenizer("en", "transcribe")
        return measure(self._network, list(tokenizer.sot_sequence), tokenizer.eot)

    def features(self, samples: Samples) -> Features:
        """Return the features of finite samples, without padding."""
        found: Features = self._extractor(samples)
        return found[:, :-1]

    def serve(self, requests: Sequence[Request]) -> list[Any]:
        """Answer requests of one kind; what fails is the exception in place of the answer."""
        kind = requests[0]
        if isinstance(kind, Encode):
            most = 1 if self._on_cpu else len(requests)
            return _in_groups(requests, self._encode, lambda one: one.features.shape, most)
        if isinstance(kind, Detect):
            return _in_groups(requests, self._detect, lambda one: one.encoded.shape, self._most(requests))
        if isinstance(kind, Decode):
            return _in_groups(requests, self._decode, _sort_of_decode, self._most(requests))
        return _in_groups(requests, self._align, lambda one: (one.encoded.shape, one.start), self._most(requests))

    def _most(self, requests: Sequence[Any]) -> int:
        """Return how many of these may go together; a CPU's memory runs out without an error that could be caught."""
        longest = max(one.encoded.shape[1] for one in requests) * 2
        return max(self.frames_together // longest, 1) if self._on_cpu else len(requests)

    def _encode(self, requests: Sequence[Encode]) -> list[Encoded]:
        encoded = self._encoder.encode(np.stack([one.features for one in requests]))[:, np.newaxis]
        return [self._followed_by_silence(alone, one.frames) for alone, one in zip(encoded, requests, strict=True)]

    def _followed_by_silence(self, encoded: Encoded, frames: int) -> Encoded:
        own, whole = encoded.shape[1], frames // 2
        return encoded if own == whole else np.concatenate([encoded, self._silence[:, own:whole]], axis=1)

    def _detect(self, requests: Sequence[Detect]) -> list[list[tuple[str, float]]]:
        found = self._network.detect_language(_stacked(requests))
        return [[(token[2:-2], probability) for token, probability in ranked] for ranked in found]

    def _decode(self, requests: Sequence[Decode]) -> list[Decoded]:
        search = requests[0].search
        found = self._network.generate(
            _stacked(requests),
            [list(one.prompt) for one in requests],
            beam_size=search.beam_size,
            no_repeat_ngram_size=search.no_repeat_ngram_size,
            repetition_penalty=search.repetition_penalty,
            max_length=len(requests[0].prompt) + max(one.limit for one in requests),
            max_initial_timestamp_index=round(_LATEST_START_S * TIMES_PER_SECOND),
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [self._decoded(request, result) for request, result in zip(requests, found, strict=True)]

    def _decoded(self, request: Decode, result: Any) -> Decoded:
        tokenizer = self.tokenizer("en", "transcribe")
        tokens = result.sequences_ids[0]
        kept = tuple(
            token for token in tokens[: request.limit] if token < tokenizer.eot or token >= tokenizer.timestamp_begin
        )
        text = tokenizer.decode(kept).strip()
        return Decoded(
            tokens=kept,
            text=text,
            compression_ratio=get_compression_ratio(text) if text else 0.0,
            logprob=result.scores[0] * len(tokens) / (len(tokens) + 1),
            no_speech=result.no_speech_prob,
            truncated=len(tokens) >= request.limit,
        )

    def _align(self, requests: Sequence[Align]) -> list[TokenTimes]:
        found = self._network.align(
            _stacked(requests),
            list(requests[0].start),
            [list(one.tokens) for one in requests],
            [one.frames for one in requests],
        )
        return [_token_times(aligned) for aligned in found]


def _sort_of_decode(one: Decode) -> Hashable:
    # CTranslate2 wants prompts of equal length, so that the text begins at the same place in each.
    return one.encoded.shape, len(one.prompt), one.search


def _stacked(requests: Sequence[Detect | Decode | Align]) -> ctranslate2.StorageView:
    return ctranslate2.StorageView.from_array(np.concatenate([one.encoded for one in requests]))


def _token_times(aligned: Any) -> TokenTimes:
    """Read CTranslate2's path of (token, time step); each token begins at the first of its steps."""
    tokens, steps = np.array(aligned.alignments).T
    first = np.flatnonzero(np.diff(tokens, prepend=-1))
    times = steps[first] / TIMES_PER_SECOND
    return TokenTimes(tuple(times.tolist()), tuple(aligned.text_token_probs))


def _in_groups(
    requests: Sequence[Any],
    answer: Callable[[Sequence[Any]], Sequence[Any]],
    alike: Callable[[Any], Hashable],
    most: int,
) -> list[Any]:
    """Answer requests that are alike together, so many at a time; where that fails, each answer is the exception."""
    groups: dict[Hashable, list[int]] = {}
    for place, request in enumerate(requests):
        groups.setdefault(alike(request), []).append(place)
    answers: list[Any] = [None] * len(requests)
    for places in (group[at : at + most] for group in groups.values() for at in range(0, len(group), most)):
        try:
            found = answer([requests[place] for place in places])
        except Exception as error:  # noqa: BLE001  # the library raises what it likes; the clips say what it means
            found = [error] * len(places)
        for place, one in zip(places, found, strict=True):
            answers[place] = one
    return answers
