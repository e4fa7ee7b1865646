"""The Whisper backend: faster-whisper on a CPU or CUDA."""

from __future__ import annotations

import importlib.metadata
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from asrq_jobs import extras
from asrq_jobs.errors import (
    AsrqError,
    DeviceUnavailableError,
    ExtraMissingError,
    ModelInvalidError,
    OutOfMemoryError,
)
from asrq_jobs.languages import NAMES
from asrq_worker import models
from asrq_worker.backends import failures, guards
from asrq_worker.backends.base import (
    Backend,
    BackendConfig,
    Capabilities,
    Chunk,
    Identity,
    TimedSegment,
    TimedWord,
    Transcript,
)
from asrq_worker.backends.cores import usable_cores
from asrq_worker.backends.device import choose_device, free_memory_mb, loading_mb, refuse_too_large
from asrq_worker.backends.refusal import unsupported
from asrq_worker.backends.whisper_listener import listen

if TYPE_CHECKING:
    from asrq_worker.backends.whisper_model import Notes, TrimmedWhisperModel

log = logging.getLogger(__name__)

SHORTEST_S = 0.1
CPU_MARGIN_S = 3.0
WEIGHTY = 0.01
"""Probability of a language from which on it is told."""
_ENGLISH = "en"
_SIZES = ("tiny", "base", "small", "medium", "large")


class WhisperBackend(Backend):
    """Options: `beam_size` (5) and `trim_margin_s`, the padding that a trimmed window keeps after the speech.

    The margin is 3 s on a CPU; on CUDA (None) nothing is trimmed, as encoding costs little there.
    """

    name: ClassVar[str] = "whisper"
    packages: ClassVar[tuple[str, ...]] = ("faster-whisper", "ctranslate2", "tokenizers", "numpy")

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._beam_size: int = config.options.get("beam_size", 5)
        self._model: TrimmedWhisperModel
        self._capabilities: Capabilities

    def load(self) -> Identity:
        """Find the model and load it; see `Backend.load`."""
        try:
            import ctranslate2

            from asrq_worker.backends.whisper_model import TrimmedWhisperModel
        except ImportError as error:
            raise ExtraMissingError(
                f"The Whisper backend needs packages that are not installed ({error}).",
                hint=extras.hint("worker"),
            ) from None
        found = models.resolve(self.config.model, model_dir=self.config.model_dir, download=self.config.download)
        device = choose_device(
            self.config.device,
            cuda=ctranslate2.get_cuda_device_count() > 0,
            library="CTranslate2",
            mend="Install the NVIDIA driver and cuDNN",
        )
        supported = ctranslate2.get_supported_compute_types(device)
        compute_type = _choose_compute_type(self.config.compute_type, device, supported)
        if device == "cpu":  # how much is free on CUDA, CTranslate2 does not tell
            needed_mb = loading_mb([found.path / models.WEIGHTS])
            refuse_too_large(found.name, needed_mb, free_memory_mb(), device, hint=_smaller(found.name))
        margin_s = self.config.options.get("trim_margin_s", CPU_MARGIN_S if device == "cpu" else None)
        parallel = self.config.parallel or (usable_cores() if device == "cpu" else 1)
        try:
            self._model = TrimmedWhisperModel(
                str(found.path),
                margin_s=margin_s,
                device=device,
                compute_type=compute_type,
                cpu_threads=self.config.cpu_threads,
                num_workers=parallel,
            )
        except Exception as error:  # noqa: BLE001  # the tokenizer library raises nothing narrower
            if failures.is_out_of_memory(error):
                raise OutOfMemoryError(
                    f"Model {found.name!r} does not fit into memory.", hint=_smaller(found.name)
                ) from None
            raise ModelInvalidError(f"The model in {found.path} cannot be loaded: {error}") from None
        self._capabilities = _capabilities(self._model, found.name, parallel)
        self.folders = () if found.revision else (found.path,)
        return Identity(
            backend=self.name,
            backend_version=importlib.metadata.version("faster-whisper"),
            model=found.name,
            model_revision=found.revision,
            device=device,
            compute_type=compute_type,
        )

    def capabilities(self) -> Capabilities:
        """Return what the loaded model can do."""
        return self._capabilities

    def transcribe_batch(self, chunks: Sequence[Chunk]) -> list[Transcript | AsrqError]:
        """Transcribe chunks one after the other; more in flight come from more threads."""
        return [failures.guarded(self._transcribe, chunk) for chunk in chunks]

    def close(self) -> None:
        """Free the model."""
        del self._model

    def _transcribe(self, chunk: Chunk) -> Transcript:
        options = chunk.options
        if refused := unsupported(options, self._capabilities, backend=self.name, model=self.config.model):
            raise refused
        samples = guards.clean(chunk.samples)
        if chunk.seconds < SHORTEST_S or guards.is_silent(samples):
            return Transcript("", None)
        return listen(replace(chunk, samples=samples), self._hear)

    def _hear(self, chunk: Chunk) -> Transcript:
        options = chunk.options
        self._model.take_notes()
        segments, info = self._model.transcribe(
            chunk.samples,
            language=options.language,
            task=options.task,
            beam_size=self._beam_size,
            condition_on_previous_text=False,
            initial_prompt=options.prompt,
            hotwords=", ".join(options.hotwords) or None,
            word_timestamps=options.word_timestamps,
            vad_filter=False,
        )
        timed = tuple(_timed(segment, chunk.seconds) for segment in segments)
        notes = self._model.take_notes()
        return Transcript(
            text="".join(segment.text for segment in timed).strip(),
            language=info.language if timed else None,
            language_probability=float(info.language_probability) if timed and options.language is None else None,
            languages=_weighty(info.all_language_probs) if timed and options.language is None else (),
            segments=timed,
            warnings=_warnings(notes),
            truncated=notes.truncated,
        )


def _smaller(model: str) -> str:
    """Say what to do about a model that does not fit: unknown names are taken for the largest."""
    family = next((size for size in _SIZES if size in model), _SIZES[-1])
    less = _SIZES[: _SIZES.index(family)]
    return f"Free memory, or choose a smaller model: {', '.join(reversed(less))}." if less else "Free memory."


def _choose_compute_type(wanted: str, device: str, supported: set[str]) -> str:
    if wanted == "auto":
        preferred = ("int8",) if device == "cpu" else ("float16", "int8")
        return next((kind for kind in preferred if kind in supported), "float32")
    if wanted not in supported:
        raise DeviceUnavailableError(
            f"Compute type {wanted!r} is not supported on this {device}.",
            hint=f"Set ASRQ_COMPUTE_TYPE to auto or one of: {', '.join(sorted(supported))}.",
        )
    return wanted


def _capabilities(model: TrimmedWhisperModel, name: str, parallel: int) -> Capabilities:
    multilingual = bool(model.model.is_multilingual)
    known = {code for code in NAMES if model.hf_tokenizer.token_to_id(f"<|{code}|>") is not None}
    # The distilled and turbo models were trained without translation and answer in the spoken language.
    translates = multilingual and not any(word in name for word in ("distil", "turbo"))
    return Capabilities(
        languages=frozenset(known if multilingual else {_ENGLISH}),
        tasks=frozenset({"transcribe", "translate"} if translates else {"transcribe"}),
        detects_language=multilingual,
        word_timestamps=True,
        prompt=True,
        hotwords=True,
        confidence=True,
        parallel=parallel,
    )


def _timed(segment: Any, longest: float) -> TimedSegment:
    def within(seconds: float) -> float:
        return min(max(float(seconds), 0.0), longest)

    words = segment.words and tuple(
        TimedWord(word.word, within(word.start), within(word.end), _finite(word.probability)) for word in segment.words
    )
    return TimedSegment(
        start=within(segment.start),
        end=within(segment.end),
        text=segment.text,
        tokens=tuple(segment.tokens),
        temperature=float(segment.temperature),
        avg_logprob=_finite(segment.avg_logprob),
        compression_ratio=_finite(segment.compression_ratio),
        no_speech_prob=_finite(segment.no_speech_prob),
        words=words,
    )


def _weighty(probabilities: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    return tuple((code, float(probability)) for code, probability in probabilities if probability >= WEIGHTY)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _warnings(notes: Notes) -> tuple[str, ...]:
    return tuple(
        name for name, happened in (("no_speech", notes.silence), ("repetition", notes.repetition)) if happened
    )
