"""Tiny ONNX models that hear tones: no speech is in them, but the unmodified packages load and run them.

A tone of each band of TONES stands for a token; silence for none. What they prove is that samples, features, files
and tokens go the whole way, in order; how well a real export transcribes they cannot tell.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from asrq_worker.backends.base import SAMPLE_RATE, Samples

TONES = (300, 900, 2000, 5000)
"""Hz; far enough apart that no band of a mel filter bank holds two."""
WORDS = {"en": ("one", "two", "three", "four"), "de": ("eins", "zwei", "drei", "vier")}
"""What the Whisper model calls them in its two languages."""


def tones(*frequencies: int, seconds: float = 0.3) -> Samples:
    """Return tones one after the other, with silence between them; float32 of shape (n,)."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    gap = np.zeros(SAMPLE_RATE // 10)
    parts = [np.concatenate([gap, 0.5 * np.sin(2 * np.pi * frequency * time), gap]) for frequency in frequencies]
    return np.concatenate(parts).astype(np.float32)


def _bands(count: int, mel: Callable[[NDArray[Any]], NDArray[Any]]) -> list[int]:
    """Return the band of a filter bank, evenly spaced in mel from 0 to 8 kHz, that each of TONES is loudest in."""
    low, high = mel(np.array([0.0, 8000.0]))
    centres = np.linspace(low, high, count + 2)[1:-1]
    return [int(np.abs(centres - heard).argmin()) for heard in mel(np.array(TONES, float))]


def _htk(hertz: NDArray[Any]) -> NDArray[Any]:
    return 2595 * np.log10(1 + hertz / 700)


def _slaney(hertz: NDArray[Any]) -> NDArray[Any]:
    return np.where(hertz < 1000, hertz * 3 / 200, 15 + np.log(np.maximum(hertz, 1) / 1000) * 27 / np.log(6.4))


def gigaam(folder: Path, letters: str = "аб в") -> Path:
    """Write a `gigaam-v2-ctc` export; TONES are read as `letters`, a space written as a space."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = [letter.replace(" ", "▁") for letter in letters] + ["<blk>"]
    lines = [f"{token} {number}" for number, token in enumerate(tokens)]
    (folder / "v2_vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"version": "v2", "subsampling_factor": 1}), encoding="utf-8")
    pick = np.zeros((64, len(tokens)), np.float32)
    for token, band in enumerate(_bands(64, _htk)):
        pick[max(band - 1, 0) : band + 2, token] = 1 / 3
    # A tone has log energies around 7, silence -20.
    bias = np.array([0.0] * len(letters) + [4.0], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["features"], ["frames"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["frames", "pick"], ["heard"]),
            helper.make_node("Add", ["heard", "bias"], ["scores"]),
            helper.make_node("LogSoftmax", ["scores"], ["log_probs"], axis=-1),
        ],
        "tones",
        [_value("features", TensorProto.FLOAT, ["b", 64, "t"]), _value("feature_lengths", TensorProto.INT64, ["b"])],
        [_value("log_probs", TensorProto.FLOAT, ["b", "t", len(tokens)])],
        [numpy_helper.from_array(pick, "pick"), numpy_helper.from_array(bias, "bias")],
    )
    _save(graph, folder / "v2_ctc.onnx")
    return folder


def whisper(folder: Path) -> Path:
    """Write a `whisper` export (encoder, merged decoder without a cache): the loudest of TONES is one of WORDS.

    A language that is not asked for is German.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"Ġ{word}" for names in WORDS.values() for word in names]
    control = ["endoftext", "startoftranscript", "en", "de", "transcribe", "notimestamps"]
    tokens = [*words, *(f"<|{name}|>" for name in control)]
    ids = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps({word: ids[word] for word in words}), encoding="utf-8")
    added = {token: number for token, number in ids.items() if token not in words}
    (folder / "added_tokens.json").write_text(json.dumps(added), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"num_mel_bins": 80}), encoding="utf-8")

    pick = np.zeros((80, len(tokens)), np.float32)
    for number, band in enumerate(_bands(80, _slaney) * len(WORDS)):
        pick[band, number] = 10
    # After <|notimestamps|> comes the word with the highest score; after anything else one token is certain.
    follow = np.zeros((len(tokens), len(tokens)), np.float32)
    follow[:, ids["<|endoftext|>"]] = 1000
    follow[ids["<|startoftranscript|>"], ids["<|de|>"]] = 2000
    follow[ids["<|notimestamps|>"], len(words) :] = -1000
    spoken = np.zeros_like(follow)
    for number, language in enumerate(WORDS):
        spoken[ids[f"<|{language}|>"], number * len(TONES) : (number + 1) * len(TONES)] = 100
    _save(
        helper.make_graph(
            [
                helper.make_node("Transpose", ["input_features"], ["frames"], perm=[0, 2, 1]),
                helper.make_node("ReduceMax", ["frames"], ["loudest"], axes=[1], keepdims=1),
                helper.make_node("MatMul", ["loudest", "pick"], ["last_hidden_state"]),
            ],
            "encoder",
            [_value("input_features", TensorProto.FLOAT, ["b", 80, "t"])],
            [_value("last_hidden_state", TensorProto.FLOAT, ["b", 1, len(tokens)])],
            [numpy_helper.from_array(pick, "pick")],
        ),
        folder / "encoder_model.onnx",
    )
    _save(
        helper.make_graph(
            [
                helper.make_node("Gather", ["follow", "input_ids"], ["next"]),
                helper.make_node("Gather", ["spoken", "input_ids"], ["of_language"]),
                helper.make_node("ReduceMax", ["of_language"], ["language"], axes=[1], keepdims=1),
                helper.make_node("Sum", ["next", "language", "encoder_hidden_states"], ["logits"]),
            ],
            "decoder",
            [
                _value("input_ids", TensorProto.INT64, ["b", "n"]),
                _value("encoder_hidden_states", TensorProto.FLOAT, ["b", 1, len(tokens)]),
            ],
            [_value("logits", TensorProto.FLOAT, ["b", "n", len(tokens)])],
            [numpy_helper.from_array(follow, "follow"), numpy_helper.from_array(spoken, "spoken")],
        ),
        folder / "decoder_model_merged.onnx",
    )
    return folder


def _value(name: str, kind: int, shape: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _save(graph: onnx.GraphProto, path: Path) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
