"""What can be asked of a loaded Qwen3-ASR in either implementation, and what the implementations share."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asrq_jobs.errors import ModelInvalidError
from asrq_worker.backends.base import SAMPLE_RATE, Chunk, Samples, TimedWord
from asrq_worker.backends.qwen.files import Checkpoint
from asrq_worker.backends.qwen.text import ModelOutput

END_IDS = (151_645, 151_643)
"""Tokens that end an answer: `<|im_end|>` and `<|endoftext|>`, the same in all released checkpoints."""
_SHORTEST = SAMPLE_RATE // 2  # samples; `qwen-asr` pads its own last piece to this, and the STFT fails on very few


class QwenModel(ABC):
    """A loaded recogniser, with a forced aligner if one is given. Not thread-safe."""

    @abstractmethod
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
        """Load the checkpoints that `files` has found.

        Raises:
            ModelInvalidError: what was loaded is of another class, or has weights that no file holds.
            Exception: whatever Transformers raises.
        """

    @property
    @abstractmethod
    def languages(self) -> frozenset[str]:
        """Codes of the languages that the implementation and the checkpoint both know."""

    @property
    @abstractmethod
    def aligned_languages(self) -> frozenset[str]:
        """Codes of the languages that words can be timed in; empty without an aligner."""

    @abstractmethod
    def transcribe(self, chunks: Sequence[Chunk]) -> list[ModelOutput]:
        """Transcribe a batch; a fault of one chunk is raised for all."""

    @abstractmethod
    def align(self, samples: Samples, text: str, language: str) -> tuple[TimedWord, ...]:
        """Return the words of a text that was heard in samples; times are seconds. Only with an aligner."""

    def free_memory(self) -> None:
        """Give back device memory that a failed batch has left in the allocator's hands."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def torch_device(device: str) -> str:
    """Return PyTorch's name of a device."""
    return "cuda:0" if device == "cuda" else device


def padded(samples: Samples) -> Samples:
    """Return samples with zeros after them, if they are fewer than can be heard."""
    return np.pad(samples, (0, max(_SHORTEST - len(samples), 0)))


def decoded(processor: Any, tokens: Tensor) -> list[str]:
    """Return generated tokens (batch, tokens) as text without control tokens."""
    found: list[str] = processor.batch_decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return found


def cut(tokens: Tensor) -> list[bool]:
    """Whether each answer (batch, tokens) lacks its end."""
    ended: list[bool] = torch.isin(tokens, torch.tensor(END_IDS)).any(dim=1).tolist()
    return [not has_end for has_end in ended]


def quiet() -> None:
    """Keep Transformers from warning of its own defaults at each batch."""
    logging.getLogger("transformers").setLevel(logging.ERROR)


def refuse_invented(checkpoint: Checkpoint, invented: Sequence[str]) -> None:
    """Refuse a model with weights, by name, that no file holds: Transformers fills them with random numbers.

    Raises:
        ModelInvalidError: there are some.
    """
    if invented:
        raise ModelInvalidError(
            f"The files in {checkpoint.folder} lack {len(invented)} of the model's weights, {invented[0]} among them.",
            hint="Fetch or copy it again.",
        )
