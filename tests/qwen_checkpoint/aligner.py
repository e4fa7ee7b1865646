"""A forced aligner with random weights: the times that it gives mean nothing, their form is the real one's."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from qwen_asr.core.transformers_backend import Qwen3ASRForConditionalGeneration
from qwen_checkpoint import shape

KIND = "qwen3_forced_aligner"
_CLASSES = 5000  # of 80 ms each


def make(folder: Path) -> None:
    """Write the checkpoint."""
    torch.manual_seed(0)
    config = shape.config(
        tied=False,
        timestamp_token_id=shape.PLAIN[shape.TIMESTAMP],
        timestamp_segment_time=80,
        thinker={"model_type": KIND, "classify_num": _CLASSES},
    )
    shape.save(Qwen3ASRForConditionalGeneration(config), shape.processor(), folder)
    # The class writes its own name over this field, which is all that tells an aligner from a recogniser.
    file = folder / "config.json"
    written = json.loads(file.read_text("utf-8"))
    written["thinker_config"]["model_type"] = KIND
    file.write_text(json.dumps(written, indent=1), "utf-8")
