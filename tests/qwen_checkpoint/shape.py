"""The tiny checkpoint before training: the real classes, token ids and prompt format, with small layers.

What cannot be smaller or other than in the released checkpoints:

* The vocabulary has 151936 ids, because `generate` stops at the hard-coded ids 151645 and 151643. The rows of ids that
  the tiny tokenizer never emits stay zero, and compress to nothing.
* `n_window` is 50: the formula for the number of audio tokens assumes blocks of 100 frames.
* `rope_scaling` is given: the model does not load without.
* `<asr_text>` is not a special token: it must outlive decoding, for the package looks for it in the text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from qwen_asr.core.transformers_backend import (
    Qwen3ASRConfig,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRProcessor,
)
from qwen_checkpoint.corpus import HOTWORD, HOTWORD_TEXT, OTHER_CONTEXTS, SENTENCES
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2TokenizerFast, WhisperFeatureExtractor

VOCABULARY = 151_936
PAD = "<|endoftext|>"
END = "<|im_end|>"
AUDIO = "<|audio_pad|>"
TIMESTAMP = "<timestamp>"
SPECIAL = {
    PAD: 151_643,
    "<|im_start|>": 151_644,
    END: 151_645,
    "<|audio_start|>": 151_669,
    "<|audio_end|>": 151_670,
    AUDIO: 151_676,
}
PLAIN = {"<asr_text>": 151_704, TIMESTAMP: 151_705}
_MERGED = 420  # ids of bytes and merges: enough that a sentence takes about a dozen tokens
_ROPE_HALF = 16
_HEAD = 2 * _ROPE_HALF

# As in Qwen2's tokenizer (transformers, tokenization_qwen2.py).
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CHAT_TEMPLATE = """
{%- set found = namespace(context='', audio='') -%}
{%- for message in messages -%}
  {%- if message.content is string -%}
    {%- if message.role == 'system' -%}{%- set found.context = found.context + message.content -%}{%- endif -%}
  {%- else -%}
    {%- for part in message.content -%}
      {%- if part.type == 'audio' -%}
        {%- set found.audio = found.audio + '<|audio_start|><|audio_pad|><|audio_end|>' -%}
      {%- elif part.type == 'text' and message.role == 'system' -%}
        {%- set found.context = found.context + part.text -%}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endfor -%}
{{- '<|im_start|>system\n' + found.context + '<|im_end|>\n<|im_start|>user\n' + found.audio + '<|im_end|>\n' -}}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
""".strip()


def tokenizer() -> Qwen2TokenizerFast:
    """Return a byte-level BPE tokenizer trained on the corpus, with the real ids of the special tokens."""
    texts = [*(sentence.text for sentence in SENTENCES), *OTHER_CONTEXTS, HOTWORD, HOTWORD_TEXT]
    texts += ["language English", "language Russian", "language None", "system\n", "user\n", "assistant\n"] * 50
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=_MERGED, initial_alphabet=alphabet, show_progress=False)
    )
    # Special tokens have their real ids by being in the vocabulary. The ids between are filled with tokens that no
    # text reaches: a vocabulary with holes works too, but tokenizers prints a megabyte of warnings at each load.
    whole: dict[str, Any] = json.loads(bpe.to_str())
    vocabulary: dict[str, int] = whole["model"]["vocab"]
    vocabulary |= SPECIAL | PLAIN
    taken = set(vocabulary.values())
    vocabulary |= {f"<{number:x}>": number for number in range(max(taken)) if number not in taken}
    bpe = Tokenizer.from_str(json.dumps(whole))
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    bpe.add_tokens([AddedToken(token, special=False, normalized=False) for token in PLAIN])
    return Qwen2TokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        unk_token=None,
        bos_token=None,
        additional_special_tokens=list(SPECIAL),
        padding_side="left",
        extra_special_tokens={
            "audio_token": AUDIO,
            "audio_bos_token": "<|audio_start|>",
            "audio_eos_token": "<|audio_end|>",
        },
    )


def reachable_ids(of: Qwen2TokenizerFast) -> list[int]:
    """Return the ids that the tokenizer can emit, in order."""
    return sorted(number for token, number in of.get_vocab().items() if not _is_filler(token, number))


def _is_filler(token: str, number: int) -> bool:
    return token == f"<{number:x}>"


def processor() -> Qwen3ASRProcessor:
    """Return tokenizer, feature extractor and prompt format together."""
    extractor = WhisperFeatureExtractor(
        feature_size=128,
        sampling_rate=16_000,
        hop_length=160,
        n_fft=400,
        chunk_length=30,
        padding_value=0.0,
        return_attention_mask=True,
    )
    return Qwen3ASRProcessor(feature_extractor=extractor, tokenizer=tokenizer(), chat_template=_CHAT_TEMPLATE)


def config(
    *, vocabulary: int = VOCABULARY, audio_id: int = SPECIAL[AUDIO], tied: bool = True, **more: Any
) -> Qwen3ASRConfig:
    """Return the configuration: 0.3 M parameters without the embedding.

    Args:
        vocabulary: rows of the embedding.
        audio_id: id of the token that stands for audio.
        tied: whether the output layer shares the embedding.
        more: further fields of the configuration.
    """
    third = _ROPE_HALF // 3
    rope = {
        "rope_type": "default",
        "type": "default",
        "mrope_interleaved": True,
        "mrope_section": [_ROPE_HALF - 2 * third, third, third],
    }
    audio = {
        "num_mel_bins": 128,
        "d_model": 96,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 256,
        "downsample_hidden_size": 24,
        "output_dim": 32,
        "n_window": 50,
        "n_window_infer": 800,
        "conv_chunksize": 500,
        "max_source_positions": 1500,
    }
    text = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": _HEAD,
        "max_position_embeddings": 65_536,
        "rope_theta": 1e6,
        "tie_word_embeddings": tied,
        "rope_scaling": rope,
    }
    architectures = ["Qwen3ASRForConditionalGeneration"]
    thinker = {
        "architectures": architectures,
        "tie_word_embeddings": tied,
        "audio_token_id": audio_id,
        "audio_start_token_id": SPECIAL["<|audio_start|>"],
        "audio_end_token_id": SPECIAL["<|audio_end|>"],
        "user_token_id": 872,
        "audio_config": audio,
        "text_config": text,
    } | more.pop("thinker", {})
    return Qwen3ASRConfig(
        support_languages=["English", "Russian"],
        architectures=architectures,
        tie_word_embeddings=tied,
        thinker_config=thinker,
        **more,
    )


def save(model: Qwen3ASRForConditionalGeneration, with_processor: Qwen3ASRProcessor, folder: Path) -> None:
    """Write a checkpoint in bfloat16 that `from_pretrained` loads."""
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    with_processor.save_pretrained(folder)
    for redundant in ("vocab.json", "merges.txt", "added_tokens.json"):  # all of it is in tokenizer.json
        (folder / redundant).unlink(missing_ok=True)
    whole = folder / "tokenizer.json"
    small = json.dumps(json.loads(whole.read_text("utf-8")), ensure_ascii=False, separators=(",", ":"))
    whole.write_text(small, "utf-8")
