"""Transformers' own Qwen3-ASR hears what `qwen-asr` hears and keeps the same promises, in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import REPO
from qwen_checkpoint import native
from support.needs import missing

from asrq_worker.backends.base import SAMPLE_RATE
from asrq_worker.backends.qwen.backend import QwenBackend

pytest_plugins = ("qwen_checkpoint.fixtures",)
pytestmark = pytest.mark.timeout(1800)  # a suite within a test


@pytest.fixture(scope="module")
def folder(tiny_qwen: Path, tiny_aligner: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints, converted as the page on Qwen says."""
    made = tmp_path_factory.mktemp("converted")
    for checkpoint, name in ((tiny_qwen, "recogniser"), (tiny_aligner, "aligner")):
        subprocess.run([sys.executable, REPO / "ops/models/convert_qwen.py", checkpoint, made / name], check=True)
    return made


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    """What the suite printed; `native.HEARD` is in the folder."""
    python = Path(sys.prefix, "native", "bin", "python")
    if not python.is_file():
        missing("Transformers 5 (make .venv/native/.made)")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(
        [python, "-m", "qwen_checkpoint.native", str(folder)],
        cwd=REPO / "tests",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert (folder / native.HEARD).is_file(), ran.stdout
    return ran.stdout


@contextmanager
def windows(qwen: QwenBackend) -> Iterator[None]:
    """Have the encoders of `qwen-asr` attend within windows of 8 s, by the mask that it prepares and does not use."""
    model: Any = qwen._model
    hooks = []
    for owner in (model._model.model, model._model.forced_aligner.model):
        tower = owner.thinker.audio_tower

        def masked(_layer: Any, given: Any, options: dict[str, Any], tower: Any = tower) -> tuple[Any, dict[str, Any]]:
            return given, {**options, "attention_mask": tower._prepare_attention_mask(*given)}

        hooks += [layer.register_forward_pre_hook(masked, with_kwargs=True) for layer in tower.layers]
    yield
    for hook in hooks:
        hook.remove()


def test_it_hears_what_qwen_asr_hears(qwen: QwenBackend, said: str, folder: Path) -> None:
    """To the letter, with the times of words: greedy decoding in float32."""
    given = native.chunks()
    assert max(len(chunk.samples) for chunk in given) < 8 * SAMPLE_RATE
    theirs = json.loads((folder / native.HEARD).read_text("utf-8"))["short"]
    ours = native.heard(qwen, given)
    assert any(segment["words"] for transcript in ours for segment in transcript["segments"])
    assert theirs == ours


def test_what_is_longer_differs_only_by_the_windows_of_the_encoder(qwen: QwenBackend, said: str, folder: Path) -> None:
    theirs = json.loads((folder / native.HEARD).read_text("utf-8"))["long"]
    with windows(qwen):
        assert theirs == native.heard(qwen, native.long_chunks())
    assert theirs != native.heard(qwen, native.long_chunks()), "the page on Qwen says that it does"


def test_it_keeps_the_promises_of_all_backends_and_of_qwen(said: str) -> None:
    assert re.search(r"^\d\d+ passed, \d+ deselected(, \d+ warnings)? in ", said, re.MULTILINE), said
