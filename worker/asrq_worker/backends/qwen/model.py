"""The package `qwen-asr`, unmodified, with what it does not tell: the raw answer, and whether it was cut off.

Imports the heavy packages. Not thread-safe: the model class keeps positions of the last call (`rope_deltas`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from qwen_asr import Qwen3ASRModel
from qwen_asr.core.transformers_backend import Qwen3ASRForConditionalGeneration
from torch import Tensor

from asrq_jobs.errors import ModelInvalidError
from asrq_jobs.languages import NAMES
from asrq_worker.backends.base import SAMPLE_RATE, Chunk, Samples, TimedWord
from asrq_worker.backends.qwen.files import Checkpoint
from asrq_worker.backends.qwen.text import ModelOutput, context, language_codes, read_answer

_SHORTEST = SAMPLE_RATE // 2  # samples; the package pads its own last piece to this, and its STFT fails on very few
_END_IDS = (151_645, 151_643)  # as `Qwen3ASRForConditionalGeneration.generate` has them
_ALIGNED = ("zh", "en", "yue", "fr", "de", "it", "ja", "ko", "pt", "ru", "es")
"""What Qwen3-ForcedAligner-0.6B was trained on, by its model card; its configuration does not say."""


class QwenModel:
    """A loaded recogniser, with a forced aligner if one is given."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        aligner: Checkpoint | None,
        *,
        device: str,
        dtype: str,
        attention: str | None,
        max_new_tokens: int,
    ) -> None:
        """Load the checkpoints that `qwen_files` has found.

        Raises:
            ModelInvalidError: what was loaded is of another class, or has weights that no file holds.
            Exception: whatever Transformers raises.
        """
        logging.getLogger("transformers").setLevel(logging.ERROR)  # it warns of its own defaults at each batch
        how: dict[str, Any] = {"device_map": "cuda:0" if device == "cuda" else device, "dtype": getattr(torch, dtype)}
        if attention:
            how["attn_implementation"] = attention
        self._model: Any = Qwen3ASRModel.from_pretrained(
            str(checkpoint.folder),
            forced_aligner=str(aligner.folder) if aligner else None,
            forced_aligner_kwargs=how if aligner else None,
            max_inference_batch_size=-1,  # batches are ours to make
            max_new_tokens=max_new_tokens,
            **how,
        )
        _check(self._model.model, checkpoint)
        if aligner:
            _check(self._model.forced_aligner.model, aligner)
        self._generated = _Recorder(self._model.model.generate)
        self._model.model.generate = self._generated
        self._model.model.thinker.lm_head.register_forward_pre_hook(_last_position)

    @property
    def languages(self) -> frozenset[str]:
        """Codes of the languages that package and checkpoint both know."""
        known = language_codes(self._model.get_supported_languages())
        return known & language_codes(self._model.model.get_support_languages() or NAMES.values())

    @property
    def aligned_languages(self) -> frozenset[str]:
        """Codes of the languages that words can be timed in; empty without an aligner."""
        if self._model.forced_aligner is None:
            return frozenset()
        return language_codes(
            self._model.forced_aligner.get_supported_languages() or [NAMES[code] for code in _ALIGNED]
        )

    def transcribe(self, chunks: Sequence[Chunk]) -> list[ModelOutput]:
        """Transcribe a batch; a fault of one chunk is raised for all."""
        names = [chunk.options.language and NAMES[chunk.options.language] for chunk in chunks]
        answers = self._model.transcribe(
            audio=[(_padded(chunk.samples), SAMPLE_RATE) for chunk in chunks],
            context=[context(chunk.options) for chunk in chunks],
            language=names,
        )
        raws, cuts = self._generated.answers(self._model.processor), self._generated.cut()
        return [
            read_answer(answer.text, answer.language, raw, forced=name is not None, cut=cut)
            for answer, raw, name, cut in zip(answers, raws, names, cuts, strict=True)
        ]

    def align(self, samples: Samples, text: str, language: str) -> tuple[TimedWord, ...]:
        """Return the words of a text that was heard in samples; times are seconds."""
        [found] = self._model.forced_aligner.align(
            audio=[(_padded(samples), SAMPLE_RATE)], text=[text], language=[NAMES[language]]
        )
        return tuple(TimedWord(word.text, word.start_time, word.end_time) for word in found)

    def free_memory(self) -> None:
        """Give back device memory that a failed batch has left in the allocator's hands."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _last_position(_layer: object, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Have the output layer see hidden states (batch, 1, width), not those of the whole prompt.

    Generation reads the last position only. The others cost 152 thousand logits for each token of audio: gigabytes
    for a batch of real chunks, and half of the time for short ones.
    """
    return (inputs[0][:, -1:],)


class _Recorder:
    """Stands in for the model's `generate` and keeps the tokens, of which the package shows only tidied text."""

    def __init__(self, generate: Any) -> None:
        self._generate = generate
        self._tokens: Tensor

    def __call__(self, **inputs: Any) -> Any:
        result = self._generate(**inputs)
        self._tokens = result.sequences[:, inputs["input_ids"].shape[1] :].cpu()
        return result

    def answers(self, processor: Any) -> list[str]:
        """Return what was generated last, as text."""
        found: list[str] = processor.batch_decode(
            self._tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return found

    def cut(self) -> list[bool]:
        """Whether each answer lacks its end."""
        ended: list[bool] = torch.isin(self._tokens, torch.tensor(_END_IDS)).any(dim=1).tolist()
        return [not has_end for has_end in ended]


def _padded(samples: Samples) -> Samples:
    return np.pad(samples, (0, max(_SHORTEST - len(samples), 0)))


def _check(model: torch.nn.Module, checkpoint: Checkpoint) -> None:
    """Raise unless all of the model came from the files; a tensor that shares the memory of one that did is fine."""
    if not isinstance(model, Qwen3ASRForConditionalGeneration):
        raise ModelInvalidError(
            f"The model in {checkpoint.folder} was loaded as {type(model).__name__}, not as Qwen3-ASR."
        )
    if invented := _invented_weights(model.state_dict(), checkpoint.shapes):
        raise ModelInvalidError(
            f"The files in {checkpoint.folder} lack {len(invented)} of the model's weights, {invented[0]} among them.",
            hint="Fetch or copy it again.",
        )


def _invented_weights(state: Mapping[str, Tensor], stored: Mapping[str, object]) -> list[str]:
    """Return the names of a model's tensors that are neither stored nor tied to one that is."""
    filled = {tensor.data_ptr() for name, tensor in state.items() if name in stored}
    return [name for name, tensor in state.items() if name not in stored and tensor.data_ptr() not in filled]
