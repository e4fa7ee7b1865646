"""All that somebody with write access to the jobs' keys can think of: each ends with a code, and others are served."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis
from support.processes import Process, worker
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.errors import QueueFullError, QueueUnusableError
from asrq_jobs.result import Result
from asrq_worker.reaper.reaper import Reaper

LONGEST_S = 30


@pytest.fixture(scope="module")
def running(_valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One worker for all of it: it has to survive."""
    root = tmp_path_factory.mktemp("root")
    (root.parent / "secret.wav").write_bytes(b"secret")
    with worker(
        _valkey, lanes="interactive:1,batch:2", lease_s=3, audio_roots=root, url_schemes="http,https",
        max_audio_mb=8, max_audio_s=LONGEST_S, decoder_stall_s=5, decoder_memory_mb=1024, retry_delay_s=0.05,
    ) as process:  # fmt: skip
        yield process
        assert process.end() == 0


@pytest.fixture
def hostile(client: Client, running: Process, data: Path) -> Iterator[Redis]:
    """A connection for the attack; afterwards a good job of each lane must pass, and nothing may be stuck."""
    settings = client.settings.model_copy(update={"lease_s": 3, "reaper_interval_s": 0.1})
    reaper = Reaper(client.redis, settings)
    reaper.start()
    try:
        yield client.redis
        blob = client.upload(data / "hello-en.flac")
        for lane in ("interactive", "batch"):
            client.submit(blob, id=f"good-{lane}", lane=lane)
            assert client.wait(f"good-{lane}", timeout_s=50).status == "completed"
        until(lambda: not [key for key in _waiting(client.redis) if client.redis.exists(key)])
    finally:
        reaper.close()
    assert running.process.poll() is None
    assert psutil.Process(running.process.pid).memory_info().rss < 1 << 30
    assert not [line for line in running.lines if str(line["event"]).endswith(".defect")]


def _waiting(redis: Redis) -> list[str]:
    return [
        keys.LEASES,
        *(key for lane in ("interactive", "batch") for key in (keys.queue(lane), keys.intermediate(lane))),
    ]


def _request(job_id: str, **fields: object) -> dict[str, object]:
    audio = {"kind": "path", "path": "/nowhere.wav"}
    return {"schema": "asrq.request/1", "id": job_id, "lane": "batch", "audio": audio} | fields


def _hash(job_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "data": json.dumps([keys.FUNCTION, None, [_request(job_id)], {}]),
        "origin": "asrq-batch",
        "status": "queued",
        "created_at": "2026-01-01T00:00:00.000000Z",
        "enqueued_at": "2026-01-01T00:00:00.000000Z",
    } | fields


def _write(redis: Redis, job_id: str, **fields: Any) -> None:
    redis.hset(keys.job(job_id), mapping=_hash(job_id, **fields))
    redis.rpush(keys.queue("batch"), job_id)


def _result(client: Client, job_id: str) -> Result | None:
    with suppress(QueueUnusableError):  # until the worker has put something else there
        return client.result(job_id, peek=True)
    return None


def _code(client: Client, job_id: str) -> str | None:
    until(lambda: _result(client, job_id), 50)
    result = client.result(job_id, peek=True)
    assert result is not None
    assert result.error is not None
    assert (result.status, bool(result.error.message)) == ("failed", True)
    return result.error.code


def _packed_zeros(mebibytes: int) -> bytes:
    """What `zlib.compress` makes of zeros, put together from one piece: RFC 1950 has the checksum."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    piece = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = ((mebibytes << 20) % 65521) << 16 | 1
    return b"\x78\x9c" + piece * mebibytes + b"\x03\x00" + struct.pack(">I", checksum)


HUGE = b"x" * (64 << 20)
DEEP = "[" * 500_000


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"data": HUGE}, "malformed_job", id="64 MiB of nothing"),
        pytest.param({"data": _packed_zeros(1024)}, "malformed_job", id="1 GiB, packed"),
        pytest.param({"data": DEEP}, "malformed_job", id="deep JSON"),
        pytest.param({"data": DEEP + "]" * 500_000}, "malformed_job", id="deep JSON that ends"),
        pytest.param({"data": b'["\xff\xfe"]'}, "malformed_job", id="no UTF-8"),
        pytest.param({"data": "NaN"}, "malformed_job", id="not a number"),
        pytest.param({"data": "1" * 100_000}, "malformed_job", id="a long number"),
        pytest.param({"description": b"\xff\xfe\x00"}, "malformed_job", id="description that is no UTF-8"),
        pytest.param({"meta": "[" * 100_000}, "path_not_allowed", id="deep meta"),
        pytest.param({"attempts_before": "9" * 50}, "path_not_allowed", id="attempts beyond counting"),
        pytest.param({"worker_name": b"\xff" * 1000}, "malformed_job", id="worker name that is no UTF-8"),
    ],
)
def test_hashes(client: Client, hostile: Redis, fields: dict[str, Any], code: str) -> None:
    _write(hostile, "hostile", **fields)
    assert _code(client, "hostile") == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"prompt": "\ud800"}, "invalid_request"),
        ({"prompt": "x" * 4001}, "invalid_request"),
        ({"hotwords": ["\ud800"] * 3}, "invalid_request"),
        ({"hotwords": ["x"] * 201}, "invalid_request"),
        ({"audio": {"kind": "path", "path": "/etc/passwd"}}, "path_not_allowed"),
        ({"audio": {"kind": "path", "path": "{root}/../secret.wav"}}, "path_not_allowed"),
        ({"audio": {"kind": "path", "path": "../../etc/passwd"}}, "path_not_allowed"),
        ({"audio": {"kind": "path", "path": "{root}/\0"}}, "audio_not_found"),
        ({"audio": {"kind": "path", "path": "{root}"}}, "audio_unreadable"),
        ({"audio": {"kind": "path", "path": "{root}/" + "a/" * 2000}}, "audio_"),
        ({"audio": {"kind": "path", "path": "/proc/self/environ"}}, "path_not_allowed"),
        ({"audio": {"kind": "url", "url": "file:///etc/passwd"}}, "url_not_allowed"),
        ({"audio": {"kind": "url", "url": "http://127.0.0.1:{port}/"}}, "url_not_allowed"),
        ({"audio": {"kind": "url", "url": "http://localhost:{port}/"}}, "url_not_allowed"),
        ({"audio": {"kind": "url", "url": "http://[::ffff:127.0.0.1]:{port}/"}}, "url_not_allowed"),
        ({"audio": {"kind": "url", "url": "http://2130706433:{port}/"}}, "url_not_allowed"),
        ({"audio": {"kind": "url", "url": "http://169.254.169.254/latest/meta-data/"}}, "url_not_allowed"),
        ({"audio": {"kind": "url", "url": "http://user:pass@127.0.0.1/"}}, "url_not_allowed"),
        ({"audio": {"kind": "url", "url": "http://127.0.0.1\r\nHost: x/"}}, "url_not_allowed"),
        ({"audio": {"kind": "url", "url": "simplecache::file:///etc/passwd"}}, "url_not_allowed"),
        ({"audio": {"kind": "blob", "sha256": "0" * 64, "bytes": 1 << 62}}, "blob_missing"),
        ({"audio": {"kind": "blob", "sha256": "../policy", "bytes": 1}}, "invalid_request"),
        ({"backend": "../../evil"}, "not_served"),
        ({"retries": 1 << 70}, "invalid_request"),
        ({"timeout_s": -1}, "invalid_request"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_requests(
    client: Client, hostile: Redis, running: Process, site: tuple[int, list[str]], change: dict[str, Any], code: str
) -> None:
    port, asked = site
    root = psutil.Process(running.process.pid).environ()["ASRQ_AUDIO_ROOTS"]
    text = json.dumps([keys.FUNCTION, None, [_request("hostile", **change)], {}])
    _write(hostile, "hostile", data=text.replace("{root}", root).replace("{port}", str(port)))
    assert (_code(client, "hostile") or "").startswith(code)
    assert asked == []


@pytest.fixture
def site() -> Iterator[tuple[int, list[str]]]:
    """A server on loopback that must not be asked: its port, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


def _wav(*, rate: int = 16_000, channels: int = 1, samples: int = 100) -> bytes:
    data = bytes(samples * channels * 2)
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * channels * 2) & 0xFFFFFFFF, (channels * 2) & 0xFFFF, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _mp4_of_many_samples() -> bytes:
    """A movie whose table of sample sizes claims 268 million entries, as a box inside boxes."""

    def box(kind: bytes, *content: bytes) -> bytes:
        body = b"".join(content)
        return struct.pack(">I", 8 + len(body)) + kind + body

    rate = struct.pack(">I", 44_100 << 16)
    entry = box(b"mp4a", bytes(6), b"\0\1", bytes(8), b"\0\2\0\x10", bytes(4), rate)
    stsd = box(b"stsd", bytes(4), struct.pack(">I", 1), entry)
    stsz = box(b"stsz", bytes(8), struct.pack(">I", 0x0FFFFFFF), bytes(64))
    stts = box(b"stts", bytes(4), struct.pack(">III", 1, 0x0FFFFFFF, 1024))
    stsc = box(b"stsc", bytes(4), struct.pack(">IIII", 1, 1, 0x0FFFFFFF, 1))
    stco = box(b"stco", bytes(4), struct.pack(">II", 1, 64))
    mdhd = box(b"mdhd", bytes(12), struct.pack(">II", 44_100, 0xFFFFFFFF), bytes(4))
    hdlr = box(b"hdlr", bytes(8), b"soun", bytes(13))
    media = box(b"mdia", mdhd, hdlr, box(b"minf", box(b"stbl", stsd, stts, stsc, stsz, stco)))
    return box(b"ftyp", b"isom", bytes(4), b"isom") + box(b"moov", box(b"trak", media)) + box(b"mdat", bytes(1000))


BOMBS: dict[str, Callable[[], bytes]] = {
    "a sample a second": lambda: _wav(rate=1, samples=100_000),
    "a rate beyond all ears": lambda: _wav(rate=0xFFFFFFFF),
    "no rate": lambda: _wav(rate=0),
    "65535 channels": lambda: _wav(channels=65_535, samples=20),
    "an hour of silence in a few bytes": lambda: _silence("flac", 3600),
    "a table of 268 million entries": _mp4_of_many_samples,
    "tags without end": lambda: b"ID3\x04\0\0\x7f\x7f\x7f\x7f" * 50_000,
    "text": lambda: b"#EXTM3U\n" * 100_000,
    "zip": lambda: b"PK\x03\x04" + _packed_zeros(64),
    "random": lambda: hashlib.shake_256(b"seed").digest(1 << 20),
}


def _silence(codec: str, seconds: int) -> bytes:
    import av
    import numpy as np

    out = BytesIO()
    with av.open(out, "w", format=codec) as container:
        stream: Any = container.add_stream(codec, rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), dtype=np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        for at in range(seconds):
            frame.pts = at * 16_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize("kind", sorted(BOMBS))
def test_media(client: Client, hostile: Redis, kind: str) -> None:
    content = BOMBS[kind]()
    assert len(content) < 8 << 20
    client.submit(client.upload(content), id="hostile", retries=0)
    result = client.wait("hostile", timeout_s=120)
    if result.status == "completed":  # it was harmless after all
        assert result.duration is not None
        assert result.duration <= LONGEST_S
    else:
        assert result.error is not None
        assert result.error.code.startswith(("audio_", "no_audio_stream", "decoder_"))


def test_more_bytes_than_a_worker_takes(client: Client, hostile: Redis) -> None:
    client.submit(client.upload(bytes(9 << 20)), id="hostile")
    assert _code(client, "hostile") == "audio_too_large"


@pytest.mark.parametrize("name", ["job", "events", "attempts", "rq_executions", "result", "chunks"])
def test_keys_of_another_type(client: Client, hostile: Redis, data: Path, name: str) -> None:
    key = getattr(keys, name)("hostile")
    if name != "job":
        hostile.hset(keys.job("hostile"), mapping=_hash("hostile"))
    hostile.delete(key)
    if name == "result":
        hostile.rpush(key, "x")
    else:
        hostile.set(key, "x")
    hostile.rpush(keys.queue("batch"), "hostile")
    assert _code(client, "hostile") in {"malformed_job", "path_not_allowed"}


def test_a_key_that_changes_its_type_while_the_job_runs(
    client: Client, hostile: Redis, data: Path, tmp_path: Path
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    client.submit(client.upload(data / "hello-en.flac"), id="hostile", prompt=f"touch:{begun} until:{gate}")
    until(begun.exists)
    hostile.delete(keys.events("hostile"))
    hostile.set(keys.events("hostile"), "x")
    gate.touch()
    until(lambda: client.result("hostile") is not None)
    assert _code(client, "hostile") == "malformed_job"


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"", b"a b\r\nc", b"x" * 100_000, b"../../rq:queues"])
def test_ids_that_are_none(client: Client, hostile: Redis, raw: bytes) -> None:
    hostile.rpush(keys.queue("batch"), raw)
    hostile.rpush(keys.intermediate("batch"), raw)
    hostile.zadd(keys.LEASES, {raw: 1.0, b"batch/" + raw + b"/x": 1.0, b"nowhere/a/b": 1.0})
    hostile.zadd(keys.registry("scheduled", "batch"), {raw: 1.0})


def test_control_messages(client: Client, hostile: Redis, running: Process) -> None:
    hostile.set(keys.command("rubbish"), DEEP)
    hostile.rpush(keys.command("list"), "1")
    for message in (b"\xff", b"{", b"[]", b"7", DEEP.encode(), b'{"command": "load", "backend": "../x"}',
                    b'{"command": "cancel", "id": {"a": 1}}', b'{"command": 5}',
                    b'{"command": "load", "id": "rubbish"}', b'{"command": "unload", "id": "list"}'):  # fmt: skip
        hostile.publish(keys.CONTROL, message)
    for slot in hostile.smembers(keys.RQ_WORKERS):
        hostile.publish("rq:pubsub:" + slot.decode().removeprefix(keys.rq_worker("")), b'{"command": []}')


@pytest.mark.parametrize("policy", [b"\xff", b"[]", DEEP.encode(), b'{"backend": "Evil Backend"}'])
def test_policies(client: Client, hostile: Redis, policy: bytes) -> None:
    hostile.set(keys.POLICY, policy)
    try:
        client.redis.publish(keys.CONTROL, json.dumps({"command": "policy"}))
        client.submit(client.upload(b"not audio"), id="hostile")
        assert _code(client, "hostile") == "audio_unreadable"
    finally:
        hostile.delete(keys.POLICY)


def test_ten_thousand_tiny_jobs_do_not_keep_dictation_waiting(client: Client, hostile: Redis, data: Path) -> None:
    """Pushed raw, past the depth that submit.lua holds to; what they are is found out when their turn comes."""
    blob = client.upload(data / "hello-en.flac")
    pipe = hostile.pipeline(transaction=False)
    ids = [f"tiny-{number}" for number in range(10_000)]
    for job_id in ids:
        pipe.hset(keys.job(job_id), mapping=_hash(job_id))
    pipe.rpush(keys.queue("batch"), *ids)
    pipe.execute()
    waits = []
    for number in range(3):
        began = time.monotonic()
        client.submit(blob, id=f"dictation-{number}", lane="interactive")
        assert client.wait(f"dictation-{number}", timeout_s=50).status == "completed"
        waits.append(time.monotonic() - began)
    assert hostile.llen(keys.queue("batch")) > 1000, "the test proves something while most of them still wait"
    assert min(waits) < 5
    assert _code(client, ids[0]) == "path_not_allowed"
    hostile.hset(keys.LIMITS, "depth:batch", 10)
    with pytest.raises(QueueFullError):
        client.submit(blob)
    hostile.delete(keys.queue("batch"), keys.LIMITS)
