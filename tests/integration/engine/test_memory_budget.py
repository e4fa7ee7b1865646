"""Several real engines on a host with memory for one: switching ends the idle one, and its memory is free again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.needs import missing

from asrq_jobs.errors import ModelMissingError
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, ChunkOptions
from asrq_worker.backends.whisper import models
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.fleet import Fleet, Member
from asrq_worker.engine.scheduler import ChunkTask

MODELS = {"small": "tiny.en", "large": "base"}


@pytest.fixture
def spoken(data: Path, tmp_path: Path) -> Path:
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / "spoken.f32"
    soundfile.read(data / "hello-en.flac", dtype="float32")[0].astype("<f4").tofile(path)
    return path


@contextmanager
def fleet_of(folder: Path, budget_mb: int) -> Iterator[Fleet]:
    made = Fleet(lambda name: Engine("whisper", BackendConfig(MODELS[name], folder)), budget_mb=budget_mb)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def budget_mb(spoken: Path, tmp_path: Path) -> int:
    """Enough for either of them, not for both: what one takes once it is warm is another matter on each machine."""
    sizes = []
    for name, model in MODELS.items():
        try:
            models.resolve(model, model_dir=tmp_path)
        except ModelMissingError:
            missing(f"the model {model}")
        with fleet_of(tmp_path, 1 << 20) as fleet:
            alone = fleet.enlist(name)
            hear(fleet, name, spoken)
            sizes.append(resident_mb(alone))
    budget_mb = round(1.2 * max(sizes))
    assert sum(sizes) > budget_mb
    return budget_mb


@pytest.fixture
def fleet(budget_mb: int, tmp_path: Path) -> Iterator[Fleet]:
    with fleet_of(tmp_path, budget_mb) as made:
        yield made


def hear(fleet: Fleet, name: str, spoken: Path) -> str:
    """Transcribe six seconds on an engine, as a job does."""
    with fleet.at_work(name) as member:
        task = ChunkTask("job", "batch", spoken, 0, 6 * SAMPLE_RATE, ChunkOptions("en"))
        return member.scheduler.submit([task])[0].result(120).transcript.text


def resident_mb(member: Member) -> int:
    return int(psutil.Process(member.engine.pid or 0).memory_info().rss) >> 20


def test_switching_to_and_fro_keeps_within_the_budget(fleet: Fleet, spoken: Path, budget_mb: int) -> None:
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
    assert resident_mb(large) <= budget_mb

    # Now both are known: the old one is gone before the new one begins to load.
    again = fleet.enlist("small")
    assert not second_child.is_running()
    assert again is not small
    assert "open the window" in hear(fleet, "small", spoken).lower()
    fleet.retire(["small", "large"], idle_s=900)
    assert set(fleet.states()) == {"small"}, "what was used last stays"
