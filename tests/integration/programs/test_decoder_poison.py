"""A file that kills whatever decoder gets it: its job fails with a code, the jobs beside it never notice."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asrq_jobs import Client
from asrq_jobs.settings import Settings
from asrq_worker.audio.decode_process import DecodeProcess
from asrq_worker.process.stdio import Message
from asrq_worker.programs.worker import WorkerProcess
from asrq_worker.reaper.reaper import Reaper


def test_a_file_that_kills_its_decoder_each_time_fails_alone(
    client: Client, valkey_url: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = (data / "hello-en.flac").read_bytes() + b"kills"
    decode, killed = DecodeProcess.run, []

    def run(
        self: DecodeProcess,
        request: Message,
        files: tuple[int, int],
        *,
        on_progress: Callable[[float], None],
        **more: Any,
    ) -> Message:
        if os.pread(files[0], len(poison) + 1, 0) == poison:
            self._child.kill()  # a real process dies, as it would of a fault in a native decoder
            killed.append(self.pid)
        return decode(self, request, files, on_progress=on_progress, **more)

    monkeypatch.setattr(DecodeProcess, "run", run)
    settings = Settings(
        redis_url=valkey_url,
        backend="fake",
        fallback="none",
        lanes="batch:3",
        decoders=2,
        lease_s=3,
        retry_delay_s=0.1,
        reaper_interval_s=0.1,
        spool_dir=tmp_path / "spool",
    )
    service, reaper = WorkerProcess(settings, shutdown=lambda: None), Reaper(client.redis, settings)
    service.start()
    reaper.start()
    try:
        innocent = client.upload(data / "hello-ru.flac")
        jobs = [client.submit(innocent) for _ in range(3)]
        bad = client.submit(client.upload(poison), retries=1)
        jobs += [client.submit(innocent) for _ in range(3)]
        failed = client.wait(bad.id, timeout_s=120)
        results = [client.wait(job.id, timeout_s=120) for job in jobs]
    finally:
        service.close()
        reaper.close()
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("failed", "poisoned")
    assert "decoder" in failed.error.message
    assert [attempt.error and attempt.error.code for attempt in failed.attempts] == ["decoder_crashed"] * 2
    assert len(set(killed)) == 2
    assert {(result.status, len(result.attempts)) for result in results} == {("completed", 1)}
    assert not list((tmp_path / "spool").iterdir())
