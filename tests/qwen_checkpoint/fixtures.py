"""Fixtures with the tiny checkpoint; a test module names this module in `pytest_plugins`.

Where `TINY_CHECKPOINTS` names a folder with both, converted, tests run against what it holds (`native.py`).
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from qwen_checkpoint.archive import unpack
from qwen_checkpoint.corpus import SENTENCES
from support.needs import missing

from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, Samples
from asrq_worker.backends.qwen import japanese
from asrq_worker.backends.qwen.backend import QwenBackend

CONVERTED = "TINY_CHECKPOINTS"


@pytest.fixture(scope="session")
def _qwen_asr() -> None:
    if CONVERTED not in os.environ and importlib.util.find_spec("qwen_asr") is None:
        missing("the package qwen-asr (pip install '.[qwen]')")


@pytest.fixture(scope="session")
def tiny_qwen(_qwen_asr: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint's folder; not to be changed."""
    if converted := os.environ.get(CONVERTED):
        return Path(converted, "recogniser")
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny-qwen3-asr"
    unpack(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_aligner(_qwen_asr: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a forced aligner with random weights."""
    if converted := os.environ.get(CONVERTED):
        return Path(converted, "aligner")
    japanese.put_off()
    from qwen_checkpoint import aligner

    folder = tmp_path_factory.mktemp("checkpoints") / "tiny-aligner"
    aligner.make(folder)
    return folder


@pytest.fixture(scope="session")
def qwen(tiny_qwen: Path, tiny_aligner: Path, tmp_path_factory: pytest.TempPathFactory) -> QwenBackend:
    """The backend with both, loaded once."""
    config = BackendConfig(str(tiny_qwen), tmp_path_factory.mktemp("models"), options={"aligner": str(tiny_aligner)})
    backend = QwenBackend(config)
    backend.load()
    backend.warm_up()
    return backend


@pytest.fixture(scope="session")
def clips() -> dict[str, Samples]:
    """The samples of every sentence by its id."""
    soundfile = pytest.importorskip("soundfile")
    found = {}
    for sentence in SENTENCES:
        samples, rate = soundfile.read(sentence.clip, dtype="float32")
        assert rate == SAMPLE_RATE
        found[sentence.id] = samples
    return found
