"""Erased jobs: no byte of what was said or sent is left in Redis or in the spool, and no worker writes any again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from redis import Redis
from support.processes import worker
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.errors import AudioUnreadableError, JobNotFoundError
from asrq_worker.storage.spool import LOCK

NAME = "interview with anna.flac"


def stored(redis: Redis) -> bytes:
    """All names and values of a server, one after the other."""
    parts: list[object] = []
    for key in redis.scan_iter():
        match redis.type(key):
            case b"string":
                value: object = redis.get(key)
            case b"hash":
                value = redis.hgetall(key)
            case b"list":
                value = redis.lrange(key, 0, -1)
            case b"set":
                value = redis.smembers(key)
            case b"zset":
                value = redis.zrange(key, 0, -1)
            case _:
                value = redis.xrange(key)
        parts += [key, value]
    return repr(parts).encode()


def spooled(folder: Path) -> list[Path]:
    """The files that workers keep."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK]


def traces(redis: Redis, audio: bytes, *words: str) -> list[str]:
    """Which of these words are stored, or the audio, or its name."""
    found = stored(redis)
    sent = {"audio": repr(audio)[2:-1].encode(), "its name": NAME.encode()}
    sent |= {word: word.encode() for word in (hashlib.sha256(audio).hexdigest(), *words)}
    return [what for what, needle in sent.items() if needle in found]


@pytest.fixture
def audio(data: Path) -> bytes:
    """A recording."""
    return (data / "hello-en.flac").read_bytes()


def test_of_a_completed_job(client: Client, redis: Redis, audio: bytes, tmp_path: Path, valkey_url: str) -> None:
    with worker(valkey_url, lanes="batch:1", spool_dir=tmp_path, cache_ttl_s=600):
        client.submit(client.upload(audio, name=NAME), id="job", prompt="Grafana")
        text = client.wait("job", timeout_s=120).text or ""
        secrets = (text, text[:20], "Grafana", '"job"', "job:", "/job/")
        assert len(traces(redis, audio, *secrets)) >= 6, "they would be found"
        client.erase("job")
        until(lambda: not traces(redis, audio, *secrets))
        assert spooled(tmp_path) == []
        for act in (client.state, client.erase):
            with pytest.raises(JobNotFoundError):
                act("job")
        client.submit(client.upload(audio), id="again")
        assert client.wait("again", timeout_s=120).cached is False


def test_of_a_job_that_keeps_nothing_once_its_result_was_fetched(
    client: Client, redis: Redis, audio: bytes, tmp_path: Path, valkey_url: str
) -> None:
    with worker(valkey_url, lanes="batch:1", spool_dir=tmp_path, cache_ttl_s=600):
        for command, status in (("", "completed"), ("fail", "failed"), ("sleep:60", "canceled")):
            blob, prompt = client.upload(audio, name=NAME), f"{command} Grafana"
            client.submit(blob, id="job", prompt=prompt, keep="nothing", retries=0)
            if status == "canceled":
                client.cancel("job")
            assert [event.type for event in client.events("job", timeout_s=120)][-1] == status
            peeked = client.result("job", peek=True)
            assert peeked is not None
            secrets = ("Grafana", '"job"', "job:", "/job/", *filter(None, (peeked.text,)))
            assert len(traces(redis, audio, *secrets)) >= 4, "they would be found"
            assert client.wait("job") == peeked
            until(lambda words=secrets: not traces(redis, audio, *words))
            until(lambda: spooled(tmp_path) == [])
            assert client.result("job") is None


def test_of_a_running_job_that_cannot_write_afterwards(
    client: Client, redis: Redis, audio: bytes, tmp_path: Path, valkey_url: str
) -> None:
    spool, begun, go = tmp_path / "spool", tmp_path / "begun", tmp_path / "go"
    with worker(
        valkey_url, lanes="batch:1", spool_dir=spool, lease_s=120, decoder_stall_s=60, cache_ttl_s=600
    ) as running:
        client.submit(client.upload(audio, name=NAME), id="job", prompt=f"touch:{begun} until:{go}")
        until(begun.exists)
        assert spooled(spool)
        client.erase("job")
        until(lambda: not spooled(spool))
        assert traces(redis, audio, "job:", "/job/", "until:") == []
        go.touch()
        running.wait_for("job.abandoned")
        client.submit(client.upload(audio), id="next")
        assert client.wait("next", timeout_s=120).status == "completed"
        client.erase("next")
        assert running.end() == 0
    assert traces(redis, audio, "job:", "/job/", "next") == []
    assert spooled(spool) == []
    assert redis.zcard(keys.LEASES) == 0


def test_what_waits_for_its_webhook_holds_no_words_of_the_client(
    client: Client, redis: Redis, audio: bytes, valkey_url: str
) -> None:
    with worker(valkey_url, lanes="batch:1", webhook_secret="s"):  # noqa: S106  # of this test; nobody delivers
        blob = client.upload(audio, name=NAME)
        client.submit(
            blob, id="job", webhook="https://app.example/", metadata={"order": "anna 4711"}, tags=["late shift"]
        )
        text = client.wait("job", timeout_s=120).text or ""
        words = (text, "order", "anna 4711", "late shift")
        assert set(words) <= set(traces(redis, audio, *words)), "they would be found"
        client.erase("job")
        until(lambda: not traces(redis, audio, *words))
    assert redis.zcard(keys.WEBHOOKS) == 1


@pytest.mark.parametrize("failed", [False, True])
def test_the_audio_of_another_job_stays(
    client: Client, redis: Redis, audio: bytes, valkey_url: str, failed: bool
) -> None:
    blob = client.upload(audio, name=NAME)
    if failed:
        with worker(valkey_url, lanes="batch:1"):
            client.submit(blob, id="other", prompt="fail", retries=0)
            assert client.wait("other", timeout_s=120).status == "failed"
    else:
        client.submit(blob, id="other")
    client.submit(blob, id="job")
    client.erase("job")
    assert redis.get(keys.blob(blob.sha256)) == audio
    client.erase("other")
    assert traces(redis, audio, "other", '"job"') == []


def test_a_job_that_is_submitted_again_begins_anew(client: Client, redis: Redis, audio: bytes, valkey_url: str) -> None:
    client.submit(client.upload(audio), id="job", prompt="first")
    client.cancel("job")
    client.erase("job")
    assert client.submit(client.upload(audio), id="job", prompt="second").created
    with worker(valkey_url, lanes="batch:1"):
        assert [attempt.number for attempt in client.wait("job", timeout_s=120).attempts] == [1]


def test_what_was_refused_in_the_same_moment_leaves_nothing(client: Client, redis: Redis) -> None:
    from asrq_worker.queue import quarantine

    raw = {b"data": b"[secret]", b"status": b"queued"}
    error = AudioUnreadableError("Not ours.")
    quarantine.refuse(redis, "job", "batch", raw, error, client.settings)
    assert redis.keys("*") == []
    redis.hset(keys.job("job"), mapping=raw)  # type: ignore[arg-type]  # bytes as Redis gives them
    quarantine.refuse(redis, "job", "batch", raw, error, client.settings)
    assert client.state("job").status == "failed"
