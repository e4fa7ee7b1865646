"""Features are the same in every process, whatever its threads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_HASH = """
import hashlib
import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from asrq_worker.backends.whisper.mel import MelFilters
extract = FeatureExtractor()
extract.mel_filters = MelFilters(extract.mel_filters)
samples = np.random.default_rng(0).normal(scale=0.1, size=20 * 16_000).astype(np.float32)
print(hashlib.sha256(extract(samples).tobytes()).hexdigest())
"""


def test_features_have_the_same_bits_whatever_the_number_of_threads() -> None:
    pytest.importorskip("faster_whisper")
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    asked: list[dict[str, str]] = [{}, *({"OMP_NUM_THREADS": str(threads)} for threads in (1, 2, 5))]
    asked += [{"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "7", "OMP_NUM_THREADS": "3"}]
    environments = [plain | some for some in asked]
    hashes = {
        subprocess.run([sys.executable, "-c", _HASH], env=env, capture_output=True, text=True, check=True).stdout
        for env in environments
    }
    assert len(hashes) == 1
