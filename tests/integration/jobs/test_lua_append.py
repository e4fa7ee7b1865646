"""append.lua: frames of a live job come once each, in order, within limits, and only while it may still hear them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from integration.jobs.lua_state import Server, State
from redis import Redis

from asrq_jobs import Client, keys, scripts
from asrq_jobs.errors import InvalidRequestError, JobStateError
from asrq_jobs.request import LiveAudio, Request

LIVE = {"kind": "live", "encoding": "pcm_s16le", "sample_rate": 8000, "channels": 1}
FRAME = "\0\1" * 400  # a twentieth of a second


@pytest.fixture
def redis(valkey_url: str) -> Any:
    with Redis.from_url(valkey_url, decode_responses=True) as connection:
        yield connection


@pytest.fixture
def server(redis: Redis) -> Server:
    return Server(redis)


@pytest.fixture
def job(client: Client) -> str:
    return client.live(sample_rate=8000, id="job").id


def append(redis: Redis, seq: object, kind: str = "audio", frame: str = FRAME, job_id: str = "job") -> tuple[int, str]:
    """Return the number of the last frame that is there, and the code of the error, or ""."""
    named = [keys.live(job_id), keys.job(job_id), keys.result(job_id), keys.LIMITS]
    answer = json.loads(scripts.load(redis, "append")(named, [job_id, str(seq), kind, frame]))
    return answer["last"], answer.get("error", {}).get("code", "")


def heard(redis: Redis, job_id: str = "job") -> list[tuple[str, dict[str, str]]]:
    """Return the entries without when they came, which is the time of Redis."""
    entries = [(entry, dict(fields)) for entry, fields in redis.xrange(keys.live(job_id))]
    assert all(0 <= redis.time()[0] + 1 - float(fields.pop("at")) < 600 for _, fields in entries)
    return entries


def test_frames_are_kept_once_and_in_order(redis: Redis, job: str) -> None:
    assert append(redis, 0) == (0, "")
    assert append(redis, 1) == (1, "")
    assert append(redis, 1, frame="\0\2" * 400) == (1, "")
    assert append(redis, 3) == (1, "invalid_request")
    assert append(redis, 2) == (2, "")
    assert append(redis, 0) == (2, "")
    expected = [("1-0", {"audio": FRAME, "to": "800"}), ("2-0", {"audio": FRAME, "to": "1600"})]
    assert heard(redis, job) == expected
    assert 604_000 < redis.ttl(keys.live(job)) <= 604_800


@pytest.mark.parametrize("kind", ["end", "interrupted"])
def test_nothing_follows_the_end(redis: Redis, job: str, kind: str) -> None:
    append(redis, 1)
    assert append(redis, 2, kind, "") == (2, "")
    assert append(redis, 2, "end", "") == (2, "")
    assert append(redis, 1) == (2, ""), "it was heard"
    assert append(redis, 3) == (2, "job_state")
    assert heard(redis, job)[-1] == ("2-0", {"end": kind, "to": "800"})


def test_a_worker_ends_it_only_when_nothing_has_come_for_so_long(redis: Redis, job: str) -> None:
    append(redis, 1)
    assert append(redis, 2, "interrupted", "3600.0") == (1, "")
    assert append(redis, 3, "interrupted", "3600.0") == (1, "invalid_request"), "a frame that was heard is lost"
    assert append(redis, 2, "interrupted", "0.0") == (2, "")


def test_a_frame_of_an_earlier_version_has_come_long_ago(redis: Redis, job: str) -> None:
    redis.xadd(keys.live(job), {"audio": b"12", "to": 2}, id="1-0")
    assert append(redis, 2, "interrupted", "3600.0") == (2, "")


@pytest.mark.parametrize("status", ["queued", "scheduled", "started", "finished", "failed", "canceled", "stopped"])
def test_only_a_job_that_goes_on_takes_frames(redis: Redis, job: str, status: str) -> None:
    redis.hset(keys.job(job), "status", status)
    goes_on = status in {"queued", "scheduled", "started"}
    assert append(redis, 1) == ((1, "") if goes_on else (0, "job_state"))
    redis.set(keys.result(job), "{}")
    assert append(redis, 2)[1] == "job_state"


@pytest.mark.parametrize("meta", [None, "no json", "3", "{}", '{"live": 3}'])
def test_only_a_live_job_takes_frames(redis: Redis, job: str, meta: str | None) -> None:
    assert append(redis, 1, job_id="other") == (0, "job_not_found")
    redis.hdel(keys.job(job), "meta")
    if meta is not None:
        redis.hset(keys.job(job), "meta", meta)
    assert append(redis, 1) == (0, "job_state")


@pytest.mark.parametrize(
    ("seq", "kind", "frame"),
    [("x", "audio", FRAME), ("-1", "audio", FRAME), ("1.5", "audio", FRAME), ("1" * 10, "audio", FRAME),
     (1, "video", FRAME), (1, "audio", ""), (1, "audio", "abc"), (1, "audio", "ab" * 131_073)],
)  # fmt: skip
def test_what_is_no_frame_is_refused(redis: Redis, job: str, seq: object, kind: str, frame: str) -> None:
    assert append(redis, seq, kind, frame) == (0, "invalid_request")
    assert heard(redis, job) == []


def test_keys_of_another_job_are_refused(redis: Redis, server: Server, job: str) -> None:
    del redis, job
    assert json.loads(server.run("append", "job", "1", "audio", FRAME))["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("limits", "max_s"), [({}, 1), ({"live_s": "1"}, None), ({"live_bytes": "16000"}, None), ({"live_s": "0"}, 1)]
)
def test_a_recording_ends_somewhere(redis: Redis, client: Client, limits: dict[str, str], max_s: int | None) -> None:
    client.live(sample_rate=8000, id="job", max_s=max_s)
    if limits:
        redis.hset(keys.LIMITS, mapping=limits)
    assert append(redis, 1, frame="ab" * 8000) == (1, "")
    assert append(redis, 2, frame="ab") == (1, "audio_too_long")
    assert append(redis, 2, "end", "") == (2, "")


def test_nobody_speaks_so_fast(redis: Redis, client: Client) -> None:
    """A minute's worth, ten times over, at once; or the frames of a minute."""
    client.live(sample_rate=8000, id="job")
    live = json.loads(redis.hget(keys.job("job"), "meta") or "")
    large = "ab" * 100_000
    taken = next(seq for seq in range(1, 1000) if append(redis, seq, frame=large)[1] == "too_fast") - 1
    assert taken * len(large) == pytest.approx(10 * 60 * live["live"]["rate"], rel=0.1)
    live["live"]["since"] += 59.5
    client.live(sample_rate=8000, id="small")
    redis.hset(keys.job("small"), "meta", json.dumps(live))
    few = next(seq for seq in range(1, 1000) if append(redis, seq, frame="ab", job_id="small")[1] == "too_fast") - 1
    assert few < 999


@pytest.mark.parametrize(
    ("outcome", "kept"), [("completed", False), ("canceled", False), ("failed", True), ("retry", True)]
)
def test_the_sound_goes_with_the_end_unless_it_may_be_heard_again(server: Server, outcome: str, kept: bool) -> None:
    sound: State = {"asrq:live:job": [{"audio": "x", "to": "1"}]}
    running: State = {"asrq:leases": {"batch/job/e": 9e9}, "rq:job:job": {"status": "started"}}
    server.put(running | {"asrq:attempts:job": ["1"]} | sound)
    ended = server.call(
        "end_execution", id="job", execution="e", lane="batch", worker="w", outcome=outcome, event="{}", attempt="{}",
        result="{}", delay_s=1, ttl_s=600, blob="asrq:blob:none", blob_ttl_s=500,
    )  # fmt: skip
    assert ended == 1
    assert server.redis.exists(keys.live("job")) == kept
    assert not kept or 0 < server.redis.ttl(keys.live("job")) <= 500


def test_the_sound_of_a_waiting_job_goes_when_it_is_canceled(redis: Redis, client: Client) -> None:
    live = client.live(sample_rate=8000, id="job")
    live.append(b"\0\1" * 400)
    assert live.cancel() == "canceled"
    assert not redis.exists(keys.live("job"))
    with pytest.raises(JobStateError):
        live.append(b"\0\1" * 400)


def test_the_sound_of_a_dead_letter_goes_with_it(redis: Redis, client: Client) -> None:
    live = client.live(sample_rate=8000, id="job")
    live.append(b"\0\1" * 400)
    redis.hset(keys.job("job"), "status", "failed")
    client.purge("job")
    assert not redis.exists(keys.live("job"))


@pytest.mark.parametrize(
    "wrong",
    [{"encoding": "mp3"}, {"sample_rate": 7999}, {"sample_rate": 48_001}, {"sample_rate": 8000.5}, {"channels": 0},
     {"channels": 3}, {"max_s": 0}, {"max_s": 86_401}, {"encoding": None}],
)  # fmt: skip
def test_the_script_and_the_document_agree_on_what_is_live(server: Server, wrong: dict[str, Any]) -> None:
    document = {"schema": "asrq.request/1", "id": "job", "audio": LIVE | wrong}
    named = ["rq:job:job", "rq:queue:asrq-batch", "rq:queues", "asrq:events:job", "asrq:result:job", "asrq:limits", "-"]
    answer = json.loads(scripts.load(server.redis, "submit")(named, ["job", "batch", json.dumps(document)]))
    assert answer["error"]["code"] == "invalid_request"
    field = next(iter(wrong))
    assert f"audio.{field}" in answer["error"]["message"]
    with pytest.raises(InvalidRequestError, match=field):
        Request.parse(document)


@pytest.mark.parametrize("max_s", [90.0, None])
def test_all_of_it_is_taken(server: Server, max_s: float | None) -> None:
    document = {"schema": "asrq.request/1", "id": "job", "audio": LIVE | {"max_s": max_s, "encoding": "pcm_f32le"}}
    named = ["rq:job:job", "rq:queue:asrq-batch", "rq:queues", "asrq:events:job", "asrq:result:job", "asrq:limits", "-"]
    assert json.loads(scripts.load(server.redis, "submit")(named, ["job", "batch", json.dumps(document)]))["created"]
    live = json.loads(server.redis.hget("rq:job:job", "meta") or "")["live"]
    assert (live["width"], live["rate"], live.get("max_s")) == (4, 32_000, max_s)
    audio = Request.parse(document).audio
    assert isinstance(audio, LiveAudio)
    assert audio.width == 4


def test_the_sound_of_a_job_goes_when_that_is_erased(redis: Redis, client: Client) -> None:
    live = client.live(sample_rate=8000, id="job")
    live.append(b"\0\1" * 400)
    client.erase("job")
    assert not redis.exists(keys.live("job"))
