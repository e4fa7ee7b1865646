"""Qwen3-ASR by the package `qwen-asr`, unmodified, with what it does not tell: the raw answer, and whether it was cut.

Its model class keeps positions of the last call (`rope_deltas`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from qwen_asr import Qwen3ASRModel
from qwen_asr.core.transformers_backend import Qwen3ASRForConditionalGeneration
from torch import Tensor

from asrq_jobs.errors import ModelInvalidError
from asrq_jobs.languages import NAMES
from asrq_worker.backends.base import SAMPLE_RATE, Chunk, Samples, TimedWord
from asrq_worker.backends.qwen.files import Checkpoint
from asrq_worker.backends.qwen.model import QwenModel, cut, decoded, padded, quiet, refuse_invented, torch_device
from asrq_worker.backends.qwen.text import ModelOutput, context, language_codes, read_answer

_ALIGNED = ("zh", "en", "yue", "fr", "de", "it", "ja", "ko", "pt", "ru", "es")
"""What Qwen3-ForcedAligner-0.6B was trained on, by its model card; its configuration does not say."""


class PackagedModel(QwenModel):
    """See `QwenModel`."""

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
        """See `QwenModel`."""
        quiet()
        how: dict[str, Any] = {"device_map": torch_device(device), "dtype": getattr(torch, dtype)}
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
        """See `QwenModel`."""
        known = language_codes(self._model.get_supported_languages())
        return known & language_codes(self._model.model.get_support_languages() or NAMES.values())

    @property
    def aligned_languages(self) -> frozenset[str]:
        """See `QwenModel`."""
        if self._model.forced_aligner is None:
            return frozenset()
        return language_codes(
            self._model.forced_aligner.get_supported_languages() or [NAMES[code] for code in _ALIGNED]
        )

    def transcribe(self, chunks: Sequence[Chunk]) -> list[ModelOutput]:
        """See `QwenModel`."""
        names = [chunk.options.language and NAMES[chunk.options.language] for chunk in chunks]
        answers = self._model.transcribe(
            audio=[(padded(chunk.samples), SAMPLE_RATE) for chunk in chunks],
            context=[context(chunk.options) for chunk in chunks],
            language=names,
        )
        tokens = self._generated.tokens
        raws = decoded(self._model.processor, tokens)
        return [
            read_answer(answer.text, answer.language, raw, forced=name is not None, cut=lacks_end)
            for answer, raw, name, lacks_end in zip(answers, raws, names, cut(tokens), strict=True)
        ]

    def align(self, samples: Samples, text: str, language: str) -> tuple[TimedWord, ...]:
        """See `QwenModel`."""
        [found] = self._model.forced_aligner.align(
            audio=[(padded(samples), SAMPLE_RATE)], text=[text], language=[NAMES[language]]
        )
        return tuple(TimedWord(word.text, word.start_time, word.end_time) for word in found)


def _last_position(_layer: object, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Have the output layer see hidden states (batch, 1, width), not those of the whole prompt.

    Generation reads the last position only. The others cost 152 thousand logits for each token of audio: gigabytes
    for a batch of real chunks, and half of the time for short ones.
    """
    return (inputs[0][:, -1:],)


class _Recorder:
    """Stands in for the model's `generate` and keeps the tokens, of which the package shows only tidied text."""

    tokens: Tensor
    """What was generated last (batch, tokens), without the prompts."""

    def __init__(self, generate: Any) -> None:
        self._generate = generate

    def __call__(self, **inputs: Any) -> Any:
        result = self._generate(**inputs)
        self.tokens = result.sequences[:, inputs["input_ids"].shape[1] :].cpu()
        return result


def _check(model: torch.nn.Module, checkpoint: Checkpoint) -> None:
    """Raise unless all of the model came from the files; a tensor that shares the memory of one that did is fine."""
    if not isinstance(model, Qwen3ASRForConditionalGeneration):
        raise ModelInvalidError(
            f"The model in {checkpoint.folder} was loaded as {type(model).__name__}, not as Qwen3-ASR."
        )
    refuse_invented(checkpoint, _invented_weights(model.state_dict(), checkpoint.shapes))


def _invented_weights(state: Mapping[str, Tensor], stored: Mapping[str, object]) -> list[str]:
    """Return the names of a model's tensors that are neither stored nor tied to one that is."""
    filled = {tensor.data_ptr() for name, tensor in state.items() if name in stored}
    return [name for name, tensor in state.items() if name not in stored and tensor.data_ptr() not in filled]
