"""Uploads that Redis does not hold: in a folder and in an object store, read by workers, and removed in time."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import pytest
from integration.http.asking import error
from redis import Redis

from asrq_jobs import Client, keys
from asrq_jobs.aio import AsyncClient
from asrq_jobs.errors import SettingsError
from asrq_jobs.request import PathAudio, UrlAudio
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.audio.source import Fetcher
from asrq_worker.http import gateway, store
from asrq_worker.http.service import serving
from asrq_worker.http.store import Store, _sweep
from asrq_worker.http.uploads import Incoming
from asrq_worker.queue import guard
from asrq_worker.storage.spool import Spool

LONG = os.urandom(300_000)
FILES = {"file": ("../Запись 1?.wav", LONG)}


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3 and keeps everything in memory."""
    from moto.server import ThreadedMotoServer  # takes a second, and so does S3FileSystem: only where they are used

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty place for uploads, in a folder or in S3."""
    if request.param == "folder":
        yield str(tmp_path / "uploads")
        return
    monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("s3"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    bucket = f"bucket-{uuid.uuid4().hex}"
    S3FileSystem().mkdir(bucket)
    yield f"s3://{bucket}/audio"
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def settings(settings: Settings, place: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(store, "ABOVE", 100_000)
    return settings.model_copy(update={"http_store": place})


def _audio(redis: Redis, job_id: str) -> PathAudio | UrlAudio:
    """What a job names, as a worker reads it."""
    raw = redis.hgetall(keys.job(job_id))
    audio = guard.admit(job_id, raw[b"origin"].decode().removeprefix("asrq-"), raw, redis).audio
    assert isinstance(audio, PathAudio | UrlAudio)
    return audio


def _swept(settings: Settings) -> int:
    async def act() -> int:
        async with AsyncClient(settings) as client:
            return await _sweep(Store(settings.http_store or ""), client)

    return asyncio.run(act())


def _left(settings: Settings) -> list[str]:
    return sorted(entry.job_id for entry in Store(settings.http_store or "").entries())


def test_a_worker_reads_what_was_uploaded(
    http: httpx.Client, redis: Redis, settings: Settings, place: str, tmp_path: Path
) -> None:
    for _ in range(2):  # it is the same job
        answer = http.post("/v1/jobs", files=FILES, headers={"Idempotency-Key": "mine"})
        assert answer.status_code == 202, answer.text
    assert redis.keys("asrq:blob:*") == []
    assert _left(settings) == ["mine"]
    state = http.get("/v1/jobs/mine").json()
    assert (state["lane"], state["description"]) == ("batch", "transcribe Запись_1_.wav (auto)")
    reading = Settings(
        audio_roots=() if "://" in place else (Path(place),), url_schemes=("s3",), url_private_hosts=True
    )
    with Spool(tmp_path) as spool:
        local = Fetcher(reading, spool, None).fetch(_audio(redis, "mine"), lambda: None)
        assert local.sha256 == hashlib.sha256(LONG).hexdigest()
        local.discard()
    other = {"file": ("a.wav", LONG[::-1])}
    conflict = http.post("/v1/jobs", files=other, headers={"Idempotency-Key": "mine"})
    assert error(conflict, 409)["code"] == "job_conflict"


def test_what_is_small_stays_in_redis(http: httpx.Client, redis: Redis, settings: Settings) -> None:
    assert http.post("/v1/jobs", files={"file": ("a.wav", LONG[:1000])}).status_code == 202
    assert len(redis.keys("asrq:blob:*")) == 1
    assert _left(settings) == []


def test_what_no_job_needs_is_removed(
    http: httpx.Client, client: Client, settings: Settings, scripted: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job_id in ("done", "canceled", "erased", "waits"):
        http.post("/v1/jobs", files=FILES, headers={"Idempotency-Key": job_id})
    scripted.complete(scripted.take("batch"), "hello")
    client.cancel("canceled")
    assert http.delete("/v1/jobs/erased").status_code == 204
    assert _left(settings) == ["canceled", "done", "waits"], "at once, and no other"
    assert _swept(settings) == 1
    assert _left(settings) == ["canceled", "waits"]
    client.erase("canceled")  # not through the gateway
    monkeypatch.setattr("time.time", lambda now=time.time: now() + 86_400)  # the clock of this gateway is wrong
    assert _swept(settings) == 0, "it may be about to be submitted"
    monkeypatch.setattr(store, "_ORPHAN_S", -1.0)
    assert _swept(settings) == 1
    assert _left(settings) == ["waits"]


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_what_is_not_ours_stays(settings: Settings, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_ORPHAN_S", -1.0)
    for name in ("notes.txt", "folder/file", "a.0123456789abcdeg/file", "a.0123456789abcdef/b/file"):
        path = Path(place) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert _swept(settings) == 0


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_the_gateway_sweeps(
    settings: Settings, place: str, monkeypatch: pytest.MonkeyPatch, scripted: ScriptedWorker
) -> None:
    monkeypatch.setattr(store, "_SWEEP_S", 0.05)
    with (
        serving(settings, "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        http.post("/v1/jobs", files=FILES, headers={"Idempotency-Key": "job"})
        scripted.complete(scripted.take("batch"), "hello")
        from support.waiting import until

        until(lambda: list(Path(place).iterdir()) == [])


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_a_store_that_takes_nothing(http: httpx.Client, place: str, redis: Redis) -> None:
    Path(place).rmdir()
    Path(place).write_bytes(b"no folder")
    assert error(http.post("/v1/jobs", files=FILES), 503)["code"] == "storage_unusable"
    assert redis.keys("rq:job:*") == []


@pytest.mark.parametrize("address", ["nowhere://bucket", "/proc/nothing/here", "uploads"])
def test_a_store_that_cannot_be_is_said_at_the_start(address: str) -> None:
    with pytest.raises(SettingsError, match="cannot be stored"), serving(Settings(http_store=address), "127.0.0.1", 0):
        pass


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_without_a_store_redis_has_a_limit(settings: Settings, monkeypatch: pytest.MonkeyPatch, redis: Redis) -> None:
    monkeypatch.setattr(gateway, "_REDIS_HOLDS", 1000)
    with (
        serving(settings.model_copy(update={"http_store": None}), "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        assert error(http.post("/v1/jobs", files=FILES), 413)["code"] == "audio_too_large"
    assert redis.keys("asrq:blob:*") == []


def test_an_upload_is_seen_in_a_folder_when_it_is_whole(tmp_path: Path) -> None:
    """So that the same upload, sent again meanwhile, cannot cut it off under a worker that reads it."""
    seen: list[list[Path]] = []

    class Reader:
        size, sha256 = 4, "0" * 64

        def seek(self, _at: int) -> None:
            self.parts = [b"ab", b"cd", b""]

        @property
        def reader(self) -> Reader:
            return self

        def read(self, _most: int) -> bytes:
            seen.append([path for path in tmp_path.rglob("*") if path.name == "talk.wav"])
            return self.parts.pop(0)

    audio = Store(str(tmp_path)).put("job", cast("Incoming", Reader()), "talk.wav")
    assert seen == [[]] * 3
    assert isinstance(audio, PathAudio)
    assert Path(audio.path).read_bytes() == b"abcd"
    assert [path.name for path in Path(audio.path).parent.iterdir()] == ["talk.wav"]
