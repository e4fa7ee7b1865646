"""Long audio is cut at pauses, reported as it goes, resumed where it stopped, and nobody waits behind it."""

from __future__ import annotations

import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.processes import worker

from asrq_jobs import BlobAudio, Client, keys
from asrq_jobs.events import Event
from asrq_jobs.settings import Settings
from asrq_worker.reaper.reaper import Reaper

MINUTES = 10.5


@pytest.fixture(scope="module")
def long_file(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten and a half minutes: the shipped sample again and again, with pauses between."""
    samples, rate = soundfile.read(data / "hello-en.flac", dtype="int16")
    turn = np.concatenate([samples, np.zeros(rate * 6 // 10, dtype=np.int16)])
    path = tmp_path_factory.mktemp("long") / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        for _ in range(int(MINUTES * 60 * rate / len(turn)) + 1):
            file.writeframes(turn.tobytes())
    return path


@pytest.fixture
def long_blob(client: Client, long_file: Path) -> BlobAudio:
    return client.upload(long_file)


def _events(client: Client, job_id: str) -> list[Event]:
    return list(client.events(job_id, timeout_s=60))


def test_it_is_cut_into_chunks_that_cover_the_speech_once(
    client: Client, valkey_url: str, long_blob: BlobAudio
) -> None:
    with worker(valkey_url, lanes="batch:1") as running:
        result = client.wait(client.submit(long_blob, id="long").id, timeout_s=120)
        assert running.end() == 0
    assert result.status == "completed"
    assert result.duration is not None
    assert result.duration > MINUTES * 60
    events = _events(client, "long")
    chunks = sorted((e.start or 0.0, e.end or 0.0) for e in events if e.type == "chunk")
    assert len(chunks) > MINUTES * 60 / 28
    assert all(0 < end - start <= 28 for start, end in chunks)
    assert all(before[1] <= after[0] for before, after in pairwise(chunks))
    assert result.segments is not None
    assert [(s.start, s.end) for s in result.segments] == [
        (pytest.approx(start, abs=0.001), pytest.approx(end, abs=0.001)) for start, end in chunks
    ]
    fractions = [e.fraction for e in events if e.type == "progress" and e.fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_short_clip_does_not_wait_behind_it(
    client: Client, valkey_url: str, long_blob: BlobAudio, data: Path
) -> None:
    with worker(valkey_url, lanes="interactive:1,batch:1") as running:
        long = client.submit(long_blob, prompt="sleep:0.3")
        for event in client.events(long.id, timeout_s=60):
            if event.type == "chunk":
                break
        clip = client.submit_file(data / "hello-en.flac", lane="interactive")
        assert client.wait(clip.id, timeout_s=120).status == "completed"
        assert client.state(long.id).status == "processing"
        client.cancel(long.id)
        assert client.wait(long.id, timeout_s=120).status == "canceled"
        assert running.end() == 0


def test_another_worker_goes_on_from_the_finished_chunks(client: Client, valkey_url: str, long_blob: BlobAudio) -> None:
    settings = Settings(redis_url=valkey_url, lease_s=3, reaper_interval_s=0.1)
    with worker(valkey_url, lanes="batch:1", lease_s=3, model="sleep:0.2") as victim:
        client.submit(long_blob, id="resumed", prompt="sleep:0.1")
        finished = 0
        for event in client.events("resumed", timeout_s=60):
            finished += event.type == "chunk"
            if finished == 8:
                break
        victim.process.kill()
        victim.process.wait(60)
    done_before = sum(e.type == "chunk" for e in _so_far(client, "resumed"))
    reaper = Reaper(client.redis, settings)
    reaper.start()
    try:
        with worker(valkey_url, lanes="batch:1", lease_s=3, model="sleep:0.2") as second:
            result = client.wait("resumed", timeout_s=120)
            assert second.end() == 0
    finally:
        reaper.close()
    assert (result.status, len(result.attempts)) == ("completed", 2)
    spans = [(e.start, e.end) for e in _events(client, "resumed") if e.type == "chunk"]
    assert done_before >= 8
    assert len(spans) == len(set(spans)), "a finished chunk was transcribed again"
    assert result.segments is not None
    assert len(result.segments) == len(spans)


def _so_far(client: Client, job_id: str) -> list[Event]:
    return [Event.from_entry(fields) for _, fields in client.redis.xrange(keys.events(job_id))]
