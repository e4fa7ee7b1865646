"""Several real engines on a host with memory for one: switching ends the idle one, and its memory is free again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from needs import missing

from asrq_jobs.errors import ModelMissingError
from asrq_worker import models
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, ChunkOptions
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.scheduler import ChunkTask
from asrq_worker.fleet import Fleet

MODELS = {"small": "tiny.en", "large": "base"}
BUDGET_MB = 300
"""Either fits (180 and 230 MiB once warm), both do not."""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    for model in MODELS.values():
        try:
            models.resolve(model, model_dir=tmp_path)
        except ModelMissingError:
            missing(f"the model {model}")
    made = Fleet(lambda name: Engine("whisper", BackendConfig(MODELS[name], tmp_path)), budget_mb=BUDGET_MB)
    yield made
    made.close()


def hear(fleet: Fleet, name: str, spoken: Path) -> str:
    """Transcribe six seconds on an engine, as a job does."""
    with fleet.at_work(name) as berth:
        task = ChunkTask("job", "batch", spoken, 0, 6 * SAMPLE_RATE, ChunkOptions("en"))
        return berth.scheduler.submit(task).result(60).transcript.text


def test_switching_to_and_fro_keeps_within_the_budget(fleet: Fleet, data: Path, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    spoken = tmp_path / "spoken.f32"
    soundfile.read(data / "hello-en.flac", dtype="float32")[0].astype("<f4").tofile(spoken)

    small = fleet.enlist("small")
    assert "open the window" in hear(fleet, "small", spoken).lower()
    first_child = psutil.Process(small.engine.pid or 0)

    # What the other takes is not known before it is loaded, so for once there are two; the next look ends the idle one.
    large = fleet.enlist("large")
    assert "open the window" in hear(fleet, "large", spoken).lower()
    fleet.retire(["small", "large"], idle_s=900)
    assert set(fleet.states()) == {"large"}
    assert not first_child.is_running()
    second_child = psutil.Process(large.engine.pid or 0)
    assert second_child.memory_info().rss >> 20 <= BUDGET_MB

    # Now both are known: the old one is gone before the new one begins to load.
    again = fleet.enlist("small")
    assert not second_child.is_running()
    assert again is not small
    assert "open the window" in hear(fleet, "small", spoken).lower()
    fleet.retire(["small", "large"], idle_s=900)
    assert set(fleet.states()) == {"small"}, "what was used last stays"
