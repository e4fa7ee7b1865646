"""Runs in the environment of `qwen-native`: writes what Transformers' own Qwen3-ASR hears, then runs the suite with it.

    python -m qwen_checkpoint.native FOLDER

FOLDER has the tiny checkpoints, converted, as `recogniser` and `aligner`; `heard.json` is put beside them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from qwen_checkpoint.corpus import HOTWORD, SENTENCES
from support.hearing import read

from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, Chunk, ChunkOptions, Samples, Transcript
from asrq_worker.backends.qwen.backend import QwenBackend

HEARD = "heard.json"
_TESTS = Path(__file__).parent.parent
_SUITE = ("conformance/test_backend.py", "conformance/test_qwen.py", "integration/backends/qwen/test_load.py")
_LEFT_OUT = "test_words_of_japanese"  # loads all again in another process


def chunks() -> list[Chunk]:
    """Return speech that the checkpoint does not know by heart: cut, mixed, in noise, in another language."""
    clips = [read(sentence.clip) for sentence in SENTENCES]
    random = np.random.default_rng(0)
    speech: list[Samples] = []
    for first, second in zip(clips[::2], clips[1::2], strict=True):
        speech += [first[: len(first) // 2], np.concatenate([second[len(second) // 2 :], first])]
        noise = random.normal(scale=float(np.std(first)), size=len(first)).astype(np.float32)
        speech += [first + noise, np.resize(first, len(second)) + second]
    options = (ChunkOptions(), ChunkOptions("en", word_timestamps=True), ChunkOptions("ru", hotwords=(HOTWORD,)))
    return [Chunk(samples, options[number % len(options)]) for number, samples in enumerate(speech)]


def long_chunks() -> list[Chunk]:
    """Return speech of 10 to 18 seconds."""
    clips = [read(sentence.clip) for sentence in SENTENCES]
    random = np.random.default_rng(5)
    orders = [random.permutation(len(clips)) for _ in range(3)]
    speech = [np.concatenate([clips[place] for place in order]) for order in orders]
    return [
        Chunk(samples[: (10 + 4 * number) * SAMPLE_RATE], ChunkOptions("en", word_timestamps=True))
        for number, samples in enumerate(speech)
    ]


def heard(backend: QwenBackend, given: Sequence[Chunk]) -> list[dict[str, Any]]:
    """Return what becomes of chunks in a batch, as JSON has it."""
    outcomes = backend.transcribe_batch(given)
    assert all(isinstance(outcome, Transcript) for outcome in outcomes), outcomes
    found: list[dict[str, Any]] = json.loads(json.dumps([asdict(outcome) for outcome in outcomes]))
    return found


def _main(folder: Path) -> int:
    import pytest
    from qwen_checkpoint.fixtures import CONVERTED

    backend = QwenBackend(
        BackendConfig(str(folder / "recogniser"), folder, options={"aligner": str(folder / "aligner")})
    )
    backend.load()
    of_all = {"short": heard(backend, chunks()), "long": heard(backend, long_chunks())}
    (folder / HEARD).write_text(json.dumps(of_all), "utf-8")
    os.environ[CONVERTED] = str(folder)
    suite = [str(_TESTS / name) for name in _SUITE]
    return pytest.main(
        [
            *suite,
            "-q",
            "--disable-warnings",
            "-k",
            f"(qwen or test_load) and not {_LEFT_OUT}",
            f"--rootdir={_TESTS.parent}",
        ]
    )


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
