"""Writes a checkpoint of `qwen-asr` as Transformers 5.13 and later reads it, for a model that has no `-hf` on the hub.

    python ops/models/convert_qwen.py FOLDER NEW_FOLDER

Takes recognisers and forced aligners. Tensors get other names and stay as they are, bit by bit, so nothing is loaded,
and neither package is needed. Tokenizer and chat template are copied; asrq writes its prompts itself.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from asrq_jobs.errors import AsrqError, ModelInvalidError, UsageError
from asrq_worker.backends.qwen import files

# Of a tensor's name, the first that it begins with. What ends in a dot is a part of the model, with all that is in it.
_RENAMED = {
    "thinker.audio_tower.proj1.": "model.multi_modal_projector.linear_1.",
    "thinker.audio_tower.proj2.": "model.multi_modal_projector.linear_2.",
    "thinker.audio_tower.": "model.audio_tower.",
    "thinker.model.": "model.language_model.",
}
_HEAD = "thinker.lm_head."
_HEADS: dict[files.Kind, str] = {"recogniser": "lm_head.", "aligner": "score."}

# Fields of the configurations that Transformers' classes know; of others, it takes its defaults.
_AUDIO = (
    *("num_mel_bins", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "d_model", "dropout"),
    *("attention_dropout", "activation_function", "activation_dropout", "scale_embedding", "initializer_range"),
    *("n_window", "n_window_infer", "output_dim", "downsample_hidden_size"),
)
_TEXT = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps"),
    *("use_cache", "attention_bias", "attention_dropout", "tie_word_embeddings", "rope_theta"),
)
_FEATURES = (
    *("feature_size", "sampling_rate", "hop_length", "chunk_length", "n_fft", "padding_value", "dither"),
    *("padding_side", "return_attention_mask"),
)
_WHOLE = ("support_languages", "timestamp_token_id", "dtype", "torch_dtype")
_THINKERS = ("audio_token_id", "initializer_range")


def convert(source: Path, target: Path) -> None:
    """Write the checkpoint in `source` into `target`, which is made.

    Raises:
        ModelInvalidError: the source is no checkpoint of `qwen-asr`, or is damaged.
        UsageError: the target is there already.
    """
    kind = _kind(source)
    if target.exists():
        raise UsageError(f"The folder {target} exists.", hint="Name a new one.")
    target.mkdir(parents=True)
    for file in sorted(path for pattern in files.FILES for path in source.glob(pattern)):
        if file.suffix == ".safetensors":
            _copy_weights(file, target / file.name, kind)
        elif file.name == "model.safetensors.index.json":
            index = _read(file)
            index["weight_map"] = {renamed(name, kind): shard for name, shard in index["weight_map"].items()}
            _write(target / file.name, index)
        elif file.name not in ("config.json", "preprocessor_config.json"):
            shutil.copyfile(file, target / file.name)
    config = _read(source / "config.json")
    _write(target / "config.json", _config(config, kind))
    _write(target / "processor_config.json", _processor(_read(source / "preprocessor_config.json"), config))


def renamed(name: str, kind: files.Kind) -> str:
    """Return Transformers' name of a tensor of `qwen-asr`.

    Raises:
        ModelInvalidError: it has none.
    """
    for old, new in {**_RENAMED, _HEAD: _HEADS[kind]}.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    raise ModelInvalidError(f"Transformers has no place for the tensor {name}.", hint="Is this a model of Qwen3-ASR?")


def _kind(source: Path) -> files.Kind:
    thinker = _read(source / "config.json").get("thinker_config")
    kind: files.Kind = "aligner" if isinstance(thinker, dict) and "classify_num" in thinker else "recogniser"
    if files.find(str(source), kind, model_dir=source, download=False).native:
        raise ModelInvalidError(f"The model in {source} is in Transformers' format already.", hint="Use it as it is.")
    return kind


def _config(whole: dict[str, Any], kind: files.Kind) -> dict[str, Any]:
    thinker = whole["thinker_config"]
    audio, text = _some(thinker["audio_config"], _AUDIO), _some(thinker["text_config"], _TEXT)
    # A position for each step of a block of 2 * n_window frames, after three convolutions that halve it.
    steps = 2 * audio["n_window"]
    for _ in range(3):
        steps = (steps - 1) // 2 + 1
    architecture = {"recogniser": "Qwen3ASRForConditionalGeneration", "aligner": "Qwen3ASRForTokenClassification"}[kind]
    return {
        "architectures": [architecture],
        "model_type": "qwen3_asr",
        "audio_config": {"model_type": "qwen3_asr_encoder", "max_position_embeddings": steps, **audio},
        "text_config": {"model_type": "qwen3", **text},
        "tie_word_embeddings": text.get("tie_word_embeddings", kind == "recogniser"),
        **({"num_labels": thinker["classify_num"]} if kind == "aligner" else {}),
        **_some(thinker, _THINKERS),
        **_some(whole, _WHOLE),
    }


def _processor(extractor: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    frames = config["thinker_config"]["audio_config"]["n_window"]
    return {
        "processor_class": "Qwen3ASRProcessor",
        "feature_extractor": {
            "feature_extractor_type": "Qwen3ASRFeatureExtractor",
            "n_window": frames,
            **_some(extractor, _FEATURES),
        },
        **_some(config, ("timestamp_segment_time",)),
    }


def _copy_weights(source: Path, target: Path, kind: files.Kind) -> None:
    """Copy a safetensors file with other names in its header: 8 bytes with its length, JSON, then all tensors."""
    with source.open("rb") as old, target.open("wb") as new:
        header = json.loads(old.read(int.from_bytes(old.read(8), "little")))
        about = header.pop("__metadata__", {})
        names = {renamed(name, kind): entry for name, entry in header.items()}
        head = json.dumps({"__metadata__": {**about, "format": "pt"}, **names}, separators=(",", ":")).encode()
        head += b" " * (-len(head) % 8)  # tensors begin at multiples of eight
        new.write(len(head).to_bytes(8, "little") + head)
        shutil.copyfileobj(old, new, 1 << 24)


def _some(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: fields[name] for name in names if fields.get(name) is not None}


def _read(file: Path) -> dict[str, Any]:
    return files.json_object(file)


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python ops/models/convert_qwen.py FOLDER NEW_FOLDER")
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except AsrqError as error:
        sys.exit(f"{error.message} {error.hint}")
