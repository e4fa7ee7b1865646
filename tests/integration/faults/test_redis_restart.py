"""The Redis or Valkey process is killed twice under 200 jobs and starts again with its append-only file."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from support.jobs import clips
from support.ledger import contradictions, leftovers
from support.processes import worker
from support.server import Server

from asrq_jobs import BlobAudio, Client
from asrq_jobs.errors import QueueRefusedError, QueueUnreachableError
from asrq_jobs.settings import Settings
from asrq_worker.reaper.reaper import Reaper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no server for this platform")

JOBS = 200


def _submitted(client: Client, blob: BlobAudio, job_id: str) -> None:
    """Submit until it is acknowledged: the same id again is the same job."""
    while True:
        try:
            client.submit(blob, id=job_id, retries=9)
        except (QueueUnreachableError, QueueRefusedError):  # killed, or loading
            continue
        return


def test_nothing_acknowledged_is_lost_and_nothing_is_committed_twice(binary: str, tmp_path: Path) -> None:
    server = Server(binary, tmp_path / "data")
    ids = [f"job-{number}" for number in range(JOBS)]
    with server as url:
        settings = Settings(redis_url=url, lease_s=3, reaper_interval_s=0.2)
        with (
            Client(settings) as client,
            worker(url, lanes="batch:3", lease_s=3, spool_dir=tmp_path / "spool", retry_delay_s=0.1) as running,
        ):
            reaper = Reaper(client.redis, settings)
            reaper.start()
            try:
                blob = client.upload(clips(("hello-en",))["short"][0])
                submitting = threading.Thread(target=lambda: [_submitted(client, blob, each) for each in ids])
                submitting.start()
                for last_before in (ids[20], ids[90]):
                    client.wait(last_before, timeout_s=120)
                    server.kill()
                    server.start()
                submitting.join()
                texts = {client.wait(each, timeout_s=120).text for each in ids}
            finally:
                reaper.close()
            assert running.end() == 0
            assert len(texts) == 1
            assert [wrong for each in ids for wrong in contradictions(client, each)] == []
            assert leftovers(client.redis) == []
