"""A checkpoint of `qwen-asr` in Transformers' format: names change, tensors do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asrq_jobs.errors import ModelInvalidError, UsageError
from asrq_worker.backends.qwen.files import find
from convert_qwen import convert, renamed

LANGUAGE, LAST = "thinker.model.norm.weight", "thinker.audio_tower.proj2.bias"
CONFIG: dict[str, Any] = {
    "model_type": "qwen3_asr",
    "architectures": ["Qwen3ASRForConditionalGeneration"],
    "thinker_config": {
        "audio_token_id": 7,
        "audio_config": {"n_window": 50, "d_model": 8, "conv_chunksize": 500, "model_type": "theirs"},
        "text_config": {"hidden_size": 8, "rope_scaling": {"mrope_section": [1, 1, 1]}},
    },
}


def weights(**tensors: bytes) -> bytes:
    """A safetensors file of bytes."""
    header: dict[str, Any] = {}
    for name, content in tensors.items():
        start = sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in header.values())
        header[name] = {"dtype": "U8", "shape": [len(content)], "data_offsets": [start, start + len(content)]}
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + b"".join(tensors.values())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint in two files."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "preprocessor_config.json").write_text('{"feature_size": 128, "feature_extractor_type": "theirs"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "notes.md").write_text("not of the model")
    (folder / "model-1.safetensors").write_bytes(weights(**{LANGUAGE: b"abc"}))
    (folder / "model-2.safetensors").write_bytes(weights(**{LAST: b"de"}))
    index = {"weight_map": {LANGUAGE: "model-1.safetensors", LAST: "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_names_change_and_tensors_do_not(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "a" / "target"
    convert(source, target)
    found = find(str(target), "recogniser", model_dir=tmp_path, download=False)
    assert found.native
    assert found.shapes == {"model.language_model.norm.weight": (3,), "model.multi_modal_projector.linear_2.bias": (2,)}
    assert (target / "model-1.safetensors").read_bytes().endswith(b"abc")
    assert {file.name for file in target.iterdir()} == {
        *("config.json", "processor_config.json", "tokenizer.json", "model.safetensors.index.json"),
        *("model-1.safetensors", "model-2.safetensors"),
    }
    config = json.loads((target / "config.json").read_text())
    assert config["audio_config"] == {
        "model_type": "qwen3_asr_encoder",
        "max_position_embeddings": 13,
        "n_window": 50,
        "d_model": 8,
    }
    assert config["text_config"] == {"model_type": "qwen3", "hidden_size": 8}
    extractor = json.loads((target / "processor_config.json").read_text())["feature_extractor"]
    assert extractor == {"feature_extractor_type": "Qwen3ASRFeatureExtractor", "n_window": 50, "feature_size": 128}


def test_the_output_layer_is_called_by_what_it_gives() -> None:
    assert renamed("thinker.lm_head.weight", "recogniser") == "lm_head.weight"
    assert renamed("thinker.lm_head.weight", "aligner") == "score.weight"


def test_what_transformers_has_no_place_for(source: Path, tmp_path: Path) -> None:
    (source / "model-2.safetensors").write_bytes(weights(**{LAST: b"de", "talker.weight": b"f"}))
    with pytest.raises(ModelInvalidError, match=r"talker\.weight"):
        convert(source, tmp_path / "target")


def test_what_is_converted_already_and_where_something_is(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "target")
    with pytest.raises(ModelInvalidError, match="already"):
        convert(tmp_path / "target", tmp_path / "again")
    with pytest.raises(UsageError, match="exists"):
        convert(source, tmp_path / "target")
