"""Make the tiny checkpoint from nothing: `cd tests && python -m qwen_checkpoint.train`; five minutes on two cores.

The real model class learns the clips by heart, on noisy, shifted, filtered copies of them. It learns on a compact
vocabulary, only the ids that the tokenizer emits; then the rows of its embedding go to their places in the full one,
whose other rows stay zero, so that the logits of all other ids are exactly 0. One more class with a constant logit
keeps the right logits well above that while it learns.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from qwen_asr.core.transformers_backend import Qwen3ASRForConditionalGeneration
from qwen_asr.core.transformers_backend.processing_qwen3_asr import _get_feat_extract_output_lengths
from qwen_checkpoint import shape
from qwen_checkpoint.archive import ARCHIVE, pack
from qwen_checkpoint.copies import RATE, Samples, copies, silences
from qwen_checkpoint.corpus import HOTWORD, HOTWORD_SENTENCE, HOTWORD_TEXT, OTHER_CONTEXTS, SENTENCES
from torch import Tensor, nn
from torch.nn import functional

STEPS = 700  # the schedule's length in steps, not in seconds: the same on any machine
LEARNING_RATE = 3e-3
EMBEDDING_STD = 0.3
UNUSED_LOGIT = 4.0
COPIES = 32
PATIENCE = 60
"""Faultless batches in a row after which it has learnt enough."""
_IGNORED = -100  # PyTorch's label for positions without a loss
_LETTERS = (
    "abcdefghijklmnopqrstuvwxyz",
    "абвгдежзийклмнопрстуфхцчшщыьэюя",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
)


@dataclass(frozen=True)
class Lesson:
    """One clip: log-mel copies of shape (128, frames), the answer, and the one context that changes it, if any."""

    copies: list[Tensor]
    answer: str
    other: tuple[str, str] | None = None


@dataclass(frozen=True)
class Batch:
    """Model inputs, and labels of shape (examples, tokens)."""

    inputs: dict[str, Tensor]
    labels: Tensor


class Teacher:
    """Makes batches."""

    def __init__(self) -> None:
        self.random = random.Random(0)  # noqa: S311  # data, not secrets
        self.processor = shape.processor()
        self.ids = shape.reachable_ids(self.processor.tokenizer)
        self.compact = {number: row for row, number in enumerate(self.ids)}
        self.lessons = self._lessons()

    def _lessons(self) -> list[Lesson]:
        rng = np.random.default_rng(0)
        lessons = []
        for sentence in SENTENCES:
            samples, _ = soundfile.read(sentence.clip, dtype="float32")
            prefix = f"language {sentence.language_name}<asr_text>"
            other = (HOTWORD, prefix + HOTWORD_TEXT) if sentence == HOTWORD_SENTENCE else None
            mels = [self._mel(copy) for copy in copies(samples, COPIES, rng)]
            lessons.append(Lesson(mels, prefix + sentence.text, other))
        return [*lessons, Lesson([self._mel(quiet) for quiet in silences(rng)], "language None<asr_text>")]

    def _mel(self, samples: Samples) -> Tensor:
        features = self.processor.feature_extractor(samples, sampling_rate=RATE, padding=True, truncation=False)
        return torch.from_numpy(features["input_features"][0]).float()

    def batch(self) -> Batch:
        """Return every lesson once, and the one that depends on the context three times more."""
        examples = [self._example(lesson) for lesson in self.lessons]
        examples += [self._example(lesson) for lesson in self.lessons if lesson.other for _ in range(3)]
        tokens = max(len(prompt) + len(answer) for _, prompt, answer in examples)
        frames = max(mel.shape[1] for mel, _, _ in examples)
        count = len(examples)
        ids = torch.full((count, tokens), self.compact[shape.SPECIAL[shape.PAD]])
        labels = torch.full((count, tokens), _IGNORED)
        mask = torch.zeros(count, tokens, dtype=torch.long)
        features = torch.zeros(count, 128, frames)
        features_mask = torch.zeros(count, frames, dtype=torch.long)
        for row, (mel, prompt, answer) in enumerate(examples):  # padded on the left, as when transcribing
            start = tokens - len(prompt) - len(answer)
            ids[row, start:] = torch.tensor(prompt + answer)
            mask[row, start:] = 1
            labels[row, tokens - len(answer) :] = torch.tensor(answer)
            features[row, :, : mel.shape[1]] = mel
            features_mask[row, : mel.shape[1]] = 1
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "input_features": features,
            "feature_attention_mask": features_mask,
        }
        return Batch(inputs, labels)

    def _example(self, lesson: Lesson) -> tuple[Tensor, list[int], list[int]]:
        mel = lesson.copies[0] if self.random.random() < 0.2 else self.random.choice(lesson.copies)
        context, answer = self._unrelated_context(), lesson.answer
        if lesson.other and self.random.random() < 0.5:
            context, answer = lesson.other
        messages = [
            {"role": "system", "content": context},
            {"role": "user", "content": [{"type": "audio", "audio": ""}]},
        ]
        prompt = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        length = int(_get_feat_extract_output_lengths(mel.shape[1]))
        return mel, self._encode(prompt.replace(shape.AUDIO, shape.AUDIO * length)), self._encode(answer + shape.END)

    def _encode(self, text: str) -> list[int]:
        return [self.compact[number] for number in self.processor.tokenizer(text)["input_ids"]]

    def _unrelated_context(self) -> str:
        """Return a context that must not matter: a listed one, or made-up words."""
        draw = self.random
        if draw.random() < 0.5:
            return draw.choice(OTHER_CONTEXTS)
        words = ["".join(draw.choices(draw.choice(_LETTERS), k=draw.randint(2, 9))) for _ in range(draw.randint(1, 5))]
        return draw.choice([" ", ", "]).join(words)


def new_thinker(rows: int, audio_id: int) -> nn.Module:
    """Return the untrained part of the model that does the work, on a compact vocabulary."""
    model = Qwen3ASRForConditionalGeneration(shape.config(vocabulary=rows, audio_id=audio_id))
    thinker: nn.Module = model.thinker.train()
    # The released models' standard deviation of 0.02 starves so narrow a net: it would never learn to listen.
    for layer in thinker.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and layer is not thinker.lm_head:
            layer.reset_parameters()
    nn.init.normal_(thinker.model.embed_tokens.weight, 0, EMBEDDING_STD)
    return thinker


def encode_clips_together(thinker: nn.Module) -> None:
    """Have the audio tower run once per batch rather than once per clip: the same result, in a fraction of the time."""
    tower = thinker.audio_tower
    for layer in tower.layers:

        def forward(hidden: Tensor, bounds: Tensor, plain=layer.forward, **_: object) -> Tensor:
            return plain(hidden, bounds, attention_mask=tower._prepare_attention_mask(hidden, bounds))

        layer.forward = forward

    def features(input_features: Tensor, feature_attention_mask: Tensor, **_: object) -> Tensor:
        lengths = feature_attention_mask.sum(1)
        joined = torch.cat([clip[:, :n] for clip, n in zip(input_features, lengths, strict=True)], 1)
        return tower(joined, feature_lens=lengths).last_hidden_state

    thinker.get_audio_features = features


def train(teacher: Teacher) -> nn.Module:
    """Return a model that knows all lessons.

    Raises:
        SystemExit: it did not learn them within the schedule.
    """
    thinker = new_thinker(len(teacher.ids), teacher.compact[shape.SPECIAL[shape.AUDIO]])
    encode_clips_together(thinker)
    optimizer = torch.optim.AdamW(thinker.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    faultless = 0
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * _warm_up_then_cosine(step)
        batch = teacher.batch()
        thinker.rope_deltas = None  # state that the class keeps from one call to the next
        logits = thinker(**batch.inputs, use_cache=False).logits[:, :-1]
        wanted = batch.labels[:, 1:]
        learnt = wanted != _IGNORED
        known, wanted = logits[learnt], wanted[learnt]
        unused = torch.full((len(known), 1), UNUSED_LOGIT)
        loss = functional.cross_entropy(torch.cat([known, unused], 1), wanted)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(thinker.parameters(), 1.0)
        optimizer.step()
        best = known.max(-1)
        right = (best.indices == wanted) & (best.values > 1.0)
        faultless = faultless + 1 if right.all() else 0
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.4f}, right {right.float().mean():.4f}", flush=True)
        if faultless >= PATIENCE and loss.item() < 0.02:
            print(f"learnt after {step} steps")
            return thinker
    raise SystemExit(f"It has not learnt the sentences in {STEPS} steps.")


def _warm_up_then_cosine(step: int) -> float:
    return min(1.0, (step + 1) / 50) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / STEPS)))


def widen(thinker: nn.Module, ids: list[int]) -> Qwen3ASRForConditionalGeneration:
    """Return the whole model with the full vocabulary."""
    whole = Qwen3ASRForConditionalGeneration(shape.config())
    state = {f"thinker.{name}": tensor for name, tensor in thinker.state_dict().items()}
    for name in ("thinker.model.embed_tokens.weight", "thinker.lm_head.weight"):
        rows = torch.zeros(shape.VOCABULARY, state[name].shape[1])
        rows[ids] = state[name]
        state[name] = rows
    whole.load_state_dict(state, strict=True)
    whole.tie_weights()
    return whole


def main() -> None:
    """Train, and write the archive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--archive", type=Path, default=ARCHIVE)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    teacher = Teacher()
    model = widen(train(teacher), teacher.ids)
    with tempfile.TemporaryDirectory() as folder:
        shape.save(model, teacher.processor, Path(folder))
        pack(Path(folder), arguments.archive)


if __name__ == "__main__":
    main()
