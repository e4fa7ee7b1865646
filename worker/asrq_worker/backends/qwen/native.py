"""Qwen3-ASR by Transformers itself (5.13 and later), with the prompts of `qwen-asr`.

The prompts are written here, word for word as `qwen-asr` has them. Transformers' own differ by version: up to 5.13 it
names the language in the system message and takes no context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoProcessor, Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers.models.qwen3_asr.processing_qwen3_asr import FORCED_ALIGNER_LANGUAGES, LANGUAGE_CODE_TO_NAME
from transformers.utils.logging import disable_progress_bar

from asrq_jobs.languages import NAMES
from asrq_worker.backends.base import SAMPLE_RATE, Chunk, Samples, TimedWord
from asrq_worker.backends.qwen.files import Checkpoint
from asrq_worker.backends.qwen.model import (
    END_IDS,
    QwenModel,
    cut,
    decoded,
    padded,
    quiet,
    refuse_invented,
    torch_device,
)
from asrq_worker.backends.qwen.text import ModelOutput, context, language_codes, read_answer

_AUDIO = "<|audio_start|><|audio_pad|><|audio_end|>"
_TIMES = "<timestamp><timestamp>"  # where a word ends and the next begins


class NativeModel(QwenModel):
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
        disable_progress_bar()
        how: dict[str, Any] = {"dtype": getattr(torch, dtype)}
        if attention:
            how["attn_implementation"] = attention
        self._max_new_tokens = max_new_tokens
        self._recogniser = _Loaded(Qwen3ASRForConditionalGeneration, checkpoint, torch_device(device), how)
        self._aligner: Any = aligner and _Loaded(Qwen3ASRForTokenClassification, aligner, torch_device(device), how)

    @property
    def languages(self) -> frozenset[str]:
        """See `QwenModel`."""
        known = language_codes(LANGUAGE_CODE_TO_NAME.values())
        named = getattr(self._recogniser.model.config, "support_languages", None)
        return known & language_codes(named or NAMES.values())

    @property
    def aligned_languages(self) -> frozenset[str]:
        """See `QwenModel`."""
        return language_codes(FORCED_ALIGNER_LANGUAGES) if self._aligner else frozenset()

    @torch.inference_mode()
    def transcribe(self, chunks: Sequence[Chunk]) -> list[ModelOutput]:
        """See `QwenModel`."""
        headers = [_header(chunk.options.language) for chunk in chunks]
        prompts = [_prompt(context(chunk.options)) + header for chunk, header in zip(chunks, headers, strict=True)]
        inputs = self._recogniser.inputs(prompts, [chunk.samples for chunk in chunks])
        sequences = self._recogniser.model.generate(
            **inputs,
            max_new_tokens=self._max_new_tokens,
            do_sample=False,
            eos_token_id=list(END_IDS),
            pad_token_id=END_IDS[0],
        )
        tokens = sequences[:, inputs["input_ids"].shape[1] :].cpu()
        processor = self._recogniser.processor
        raws = decoded(processor, tokens)
        # `parse_output` takes all up to "assistant" at the end of a line for a prompt.
        lines = [header + raw.replace("\n", " ") for header, raw in zip(headers, raws, strict=True)]
        answers = processor.parse_output(lines)
        return [
            read_answer(answer["transcription"], answer["language"] or "", raw, forced=bool(header), cut=lacks_end)
            for answer, raw, header, lacks_end in zip(answers, raws, headers, cut(tokens), strict=True)
        ]

    @torch.inference_mode()
    def align(self, samples: Samples, text: str, language: str) -> tuple[TimedWord, ...]:
        """See `QwenModel`."""
        processor, model = self._aligner.processor, self._aligner.model
        words = processor.split_words_for_alignment(text, NAMES[language])
        inputs = self._aligner.inputs([_AUDIO + _TIMES.join(words) + _TIMES], [samples])
        [timed] = processor.decode_forced_alignment(
            model(**inputs).logits, inputs["input_ids"], [words], model.config.timestamp_token_id
        )
        return tuple(TimedWord(word["text"], word["start_time"], word["end_time"]) for word in timed)


class _Loaded:
    """A checkpoint in memory: its model, and the processor that makes inputs for it."""

    def __init__(self, kind: Any, checkpoint: Checkpoint, device: str, how: dict[str, Any]) -> None:
        folder = str(checkpoint.folder)
        self.processor: Any = AutoProcessor.from_pretrained(folder)
        loaded, found = kind.from_pretrained(folder, output_loading_info=True, **how)
        refuse_invented(checkpoint, sorted(found["missing_keys"]))
        self.model: Any = loaded.to(device)

    def inputs(self, texts: list[str], recordings: Sequence[Samples]) -> Any:
        """Return what the model takes for texts that each hold one place for audio."""
        audio = [padded(samples) for samples in recordings]
        return self.processor(text=texts, audio=audio, sampling_rate=SAMPLE_RATE).to(
            self.model.device, self.model.dtype
        )


def _prompt(told: str) -> str:
    return f"<|im_start|>system\n{told}<|im_end|>\n<|im_start|>user\n{_AUDIO}<|im_end|>\n<|im_start|>assistant\n"


def _header(language: str | None) -> str:
    """Return how an answer in a language begins; nothing where the model is to say."""
    return f"language {NAMES[language]}<asr_text>" if language else ""
