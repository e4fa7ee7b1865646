"""Tiny ONNX models that hear tones: no speech is in them, but the unmodified packages load and run them.

A tone of each band of TONES stands for a token; silence for none. What they prove is that samples, features, files
and tokens go the whole way, in order; how well a real export transcribes they cannot tell.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from asrq_worker.backends.base import SAMPLE_RATE, Samples

TONES = (300, 900, 2000, 5000)
"""Hz; far enough apart that no band of a mel filter bank holds two."""
LOUD = {"gigaam": 4.0, "whisper": 0.0}
"""Features above this are a tone, below it silence: log energies, and Whisper's scaled ones."""


def tones(*frequencies: int, seconds: float = 0.3) -> Samples:
    """Return tones one after the other, with silence between them; float32 of shape (n,)."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    gap = np.zeros(SAMPLE_RATE // 10)
    parts = [np.concatenate([gap, 0.5 * np.sin(2 * np.pi * frequency * time), gap]) for frequency in frequencies]
    return np.concatenate(parts).astype(np.float32)


def mel_of_tones(bands: int) -> list[int]:
    """Return the band of a filter bank on the HTK mel scale, 0 to 8 kHz, that each of TONES is loudest in."""
    edges = _mel(np.linspace(0, 8000, 4097))
    centres = np.linspace(edges[0], edges[-1], bands + 2)[1:-1]
    return [int(np.abs(centres - _mel(np.array(tone))).argmin()) for tone in TONES]


def _mel(hertz: NDArray[Any]) -> NDArray[Any]:
    return 2595 * np.log10(1 + hertz / 700)


def gigaam(folder: Path, letters: str = "аб в") -> Path:
    """Write a `gigaam-v2-ctc` export; TONES are read as `letters`, a space written as a space."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = [letter.replace(" ", "▁") for letter in letters] + ["<blk>"]
    lines = [f"{token} {number}" for number, token in enumerate(tokens)]
    (folder / "v2_vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"version": "v2", "subsampling_factor": 1}), encoding="utf-8")
    pick = np.zeros((64, len(tokens)), np.float32)
    for token, band in enumerate(mel_of_tones(64)):
        pick[max(band - 1, 0) : band + 2, token] = 1 / 3
    bias = np.array([0.0] * len(letters) + [LOUD["gigaam"]], np.float32)
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


def _value(name: str, kind: int, shape: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _save(graph: onnx.GraphProto, path: Path) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
