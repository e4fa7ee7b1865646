"""Dictation over a WebSocket: OpenAI's own client and events, an ordinary live job behind them, and hostile clients."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import REPO
from redis import Redis
from support.processes import worker
from support.speaking import file_of, frames, spoken
from support.waiting import until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from asrq_jobs import Client, keys
from asrq_jobs.errors import AudioUnreadableError
from asrq_jobs.events import Event
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.http import dictation, realtime
from asrq_worker.http.service import serving
from asrq_worker.monitor.registry import Metrics

if TYPE_CHECKING:
    import openai

SOUND = bytes(range(256)) * 100
ITEM = "conversation.item.input_audio_transcription"


class Talk:
    """A client that knows nothing of transcriptions."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    def say(self, kind: str, **fields: object) -> None:
        """Send an event."""
        self._connection.send(json.dumps({"type": kind, **fields}))

    def append(self, sound: bytes, **fields: object) -> None:
        """Send sound."""
        self.say("input_audio_buffer.append", audio=base64.b64encode(sound).decode(), **fields)

    def send(self, message: str | bytes) -> None:
        """Send something."""
        self._connection.send(message)

    def hear(self, kind: str) -> dict[str, Any]:
        """Wait for an event of this type; those before it are passed over, unless they tell of an error."""
        while True:
            event: dict[str, Any] = json.loads(self._connection.recv(timeout=60))
            assert event["event_id"]
            if event["type"] == kind:
                return event
            assert event["type"] not in {"error", f"{ITEM}.failed"}, event

    def closed(self) -> int | None:
        """Wait until it is closed by the other side; return the code."""
        try:
            while True:
                self._connection.recv(timeout=60)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None

    def close(self) -> None:
        """Go away."""
        self._connection.close()


@contextmanager
def talking(address: str, path: str = "/v1/realtime/transcription", **options: Any) -> Iterator[Talk]:
    with connect(address.replace("http", "ws") + path, max_size=None, **options) as connection:
        yield Talk(connection)


@pytest.fixture
def talk(address: str) -> Iterator[Talk]:
    with talking(address) as talk:
        yield talk


def kept(redis: Redis, job_id: str) -> tuple[bytes, bool]:
    """Return the sound that is there, and whether it has an end."""
    entries = [fields for _, fields in redis.xrange(keys.live(job_id))]
    return b"".join(fields.get(b"audio", b"") for fields in entries), any(b"end" in fields for fields in entries)


def test_openais_own_client_dictates(official: openai.OpenAI, client: Client, valkey_url: str) -> None:
    sound = spoken("hello-en", "hello-ru", "hello-en")
    deltas, transcript = [], None
    with worker(valkey_url, lanes="interactive:2"), official.realtime.connect(model="whisper-1") as connection:
        heard: Any = {"format": {"type": "audio/pcm", "rate": 16_000}, "transcription": {"language": "en"}}
        connection.session.update(session={"type": "transcription", "audio": {"input": heard}})
        for frame in frames(sound, 1.0):
            connection.input_audio_buffer.append(audio=base64.b64encode(frame).decode())
        for event in connection:
            assert event.type != "error", event
            if event.type == "conversation.item.input_audio_transcription.delta":
                deltas.append(event.delta or "")
                if len(deltas) == 1:  # while it is recorded
                    connection.input_audio_buffer.commit()
            if event.type == "conversation.item.input_audio_transcription.completed":
                transcript = event
                break
        file = client.submit(client.upload(file_of(sound)), lane="interactive", language="en")
        text = client.wait(file.id, timeout_s=60).text
    assert transcript is not None
    assert transcript.transcript == text == "".join(deltas)
    assert transcript.usage.type == "duration"
    assert transcript.usage.seconds == pytest.approx(len(sound) / 32_000, abs=0.01)
    result = client.result(transcript.item_id)
    assert result is not None
    assert result.audio is not None
    assert (result.text, result.audio.container) == (text, "live")


def test_the_howto_works(official: openai.OpenAI, client: Client, valkey_url: str) -> None:
    page = (REPO / "docs" / "how-to" / "dictate.md").read_text(encoding="utf-8")
    [program] = [block for block in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if "OpenAI" in block]
    code: dict[str, Any] = {}
    exec(program, code)  # noqa: S102  # our own page
    sound = spoken("hello-en")  # at another rate than it says, which is only heard as slow speech
    with worker(valkey_url, lanes="interactive:1"):
        text = code["dictate"](official, frames(sound))
        [job] = client.redis.keys("rq:job:*")
        assert text == client.wait(job.decode().removeprefix("rq:job:")).text
        assert text


def test_the_events_of_a_session(talk: Talk, scripted: ScriptedWorker, redis: Redis) -> None:
    created = talk.hear("session.created")["session"]
    assert (created["type"], created["last"]) == ("transcription", 0)
    assert created["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
    transcription = {"model": "whisper-1", "language": "ru", "prompt": "Имена.", "keywords": ["asrq"], "new": 1}
    talk.say("session.update", session={"type": "transcription", "audio": {"input": {"transcription": transcription}}})
    updated = talk.hear("session.updated")["session"]
    assert (updated["id"], updated["audio"]["input"]["transcription"]["prompt"]) == (created["id"], "Имена.")

    talk.append(SOUND)
    added = talk.hear("conversation.item.added")
    execution = scripted.take()
    assert added["item"]["id"] == created["id"] == execution.job_id
    document = json.loads(redis.hget(keys.job(execution.job_id), "data") or b"")[2][0]
    assert (document["language"], document["prompt"], document["hotwords"]) == ("ru", "Имена.", ["asrq"])
    assert (document["lane"], document["audio"]["kind"], document["audio"]["sample_rate"]) == (
        "interactive", "live", 24_000,
    )  # fmt: skip
    until(lambda: kept(redis, execution.job_id) == (SOUND, False))

    scripted.event(execution, Event(type="partial", at=0, start=0, end=1, text="Перв", stable=3))
    assert {"text": "Перв", "stable": 3, "item_id": execution.job_id}.items() <= talk.hear(f"{ITEM}.partial").items()
    for start, text in ((0, "Первое."), (2, "Второе.")):
        scripted.event(execution, Event(type="chunk", at=0, start=start, end=start + 1, text=text, until=start + 2))
    assert [talk.hear(f"{ITEM}.delta")["delta"] for _ in range(2)] == ["Первое.", " Второе."]
    talk.say("input_audio_buffer.commit")
    assert talk.hear("input_audio_buffer.committed")["item_id"] == execution.job_id
    assert kept(redis, execution.job_id) == (SOUND, True)

    talk.append(SOUND)  # the next recording, while the first is still heard
    second = talk.hear("conversation.item.added")
    assert second["previous_item_id"] == execution.job_id != second["item"]["id"]
    scripted.complete(execution, "Первое. Второе.", duration=4.0)
    completed = talk.hear(f"{ITEM}.completed")
    assert (completed["item_id"], completed["transcript"]) == (execution.job_id, "Первое. Второе.")
    assert completed["usage"] == {"type": "duration", "seconds": 4.0}
    talk.say("input_audio_buffer.clear")
    talk.hear("input_audio_buffer.cleared")
    until(lambda: redis.hget(keys.job(second["item"]["id"]), "status") == b"canceled")


def test_each_stretch_is_an_item_where_turns_are_asked_for(talk: Talk, scripted: ScriptedWorker, redis: Redis) -> None:
    turns = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
    talk.say("session.update", session={"type": "transcription", "audio": {"input": {"turn_detection": turns}}})
    talk.append(SOUND)
    execution = scripted.take()
    before = None
    for number, text in enumerate(("One.", "Two."), start=1):
        scripted.event(
            execution, Event(type="chunk", at=0, start=4 * number, end=4 * number + 1, until=4 * number + 1, text=text)
        )
        started = talk.hear("input_audio_buffer.speech_started")
        item_id = started["item_id"]
        assert (item_id, started["audio_start_ms"]) == (f"{execution.job_id}-{number}", 4000 * number)
        assert talk.hear("input_audio_buffer.speech_stopped")["audio_end_ms"] == 4000 * number + 1000
        committed = talk.hear("input_audio_buffer.committed")
        assert (committed["item_id"], committed["previous_item_id"]) == (item_id, before)
        assert talk.hear("conversation.item.added")["item"]["id"] == item_id
        completed = talk.hear(f"{ITEM}.completed")
        assert (completed["item_id"], completed["transcript"]) == (item_id, text)
        before = item_id
    talk.say("session.update", session={"type": "transcription", "audio": {"input": {"turn_detection": None}}})
    talk.say("input_audio_buffer.commit")
    until(lambda: kept(redis, execution.job_id)[1])
    talk.append(SOUND)
    assert talk.hear("conversation.item.added")["item"]["id"] != execution.job_id, "as one again"


def test_events_as_they_were_first(talk: Talk) -> None:
    session = {"input_audio_format": "pcm16", "input_audio_transcription": {"language": "en"}, "turn_detection": None}
    talk.say("transcription_session.update", session=session)
    updated = talk.hear("transcription_session.updated")["session"]
    assert updated["audio"]["input"]["transcription"] == {"language": "en"}


def test_who_comes_back_goes_on(address: str, scripted: ScriptedWorker, redis: Redis) -> None:
    with talking(address) as talk:
        job_id = talk.hear("session.created")["session"]["id"]
        for seq, at in enumerate(range(0, 9000, 3000), start=1):
            talk.append(SOUND[at : at + 3000], seq=seq)
        until(lambda: kept(redis, job_id)[0] == SOUND[:9000])
    execution = scripted.take()
    scripted.event(execution, Event(type="chunk", at=0, start=0, end=1, until=2, text="First."))
    with talking(address, f"/v1/realtime/transcription?id={job_id}") as talk:
        assert talk.hear("session.created")["session"]["last"] == 3
        assert talk.hear("conversation.item.added")["item"]["id"] == job_id
        assert talk.hear(f"{ITEM}.delta")["delta"] == "First."
        talk.append(SOUND[6000:9000], seq=3)  # it does not know what has come
        talk.append(SOUND[9000:12_000], seq=4)
        talk.say("input_audio_buffer.commit")
        talk.hear("input_audio_buffer.committed")
        assert kept(redis, job_id) == (SOUND[:12_000], True)
        scripted.complete(execution, "First. Second.")
        assert talk.hear(f"{ITEM}.completed")["transcript"] == "First. Second."
    with talking(address, f"/v1/realtime/transcription?id={job_id}") as talk:  # too late for more, and not for the text
        assert talk.hear(f"{ITEM}.completed")["transcript"] == "First. Second."


def test_who_cannot_come_back_keeps_no_slot(address: str, client: Client) -> None:
    with talking(address) as talk:
        talk.append(SOUND[:3000])
        until(client.jobs)
    until(lambda: [job.status for job in client.jobs()] == ["canceled"])


def test_what_redis_has_lost_is_said(talk: Talk, redis: Redis) -> None:
    job_id = talk.hear("session.created")["session"]["id"]
    talk.append(SOUND)
    until(lambda: kept(redis, job_id)[0] == SOUND)
    redis.delete(keys.live(job_id))
    talk.say("input_audio_buffer.commit")
    error = talk.hear("error")["error"]
    assert "Frame 1 is missing before frame 2" in error["message"]
    assert "session.last" in error["hint"]
    assert talk.closed() == 1008


def test_a_job_that_fails_is_told(talk: Talk, scripted: ScriptedWorker, redis: Redis) -> None:
    talk.append(SOUND)
    execution = scripted.take()
    until(lambda: kept(redis, execution.job_id)[0] == SOUND)
    scripted.fail(execution, AudioUnreadableError("It is noise."))
    error = talk.hear(f"{ITEM}.failed")["error"]
    assert (error["code"], error["message"]) == ("audio_unreadable", "It is noise.")
    assert error["hint"]
    talk.append(SOUND)
    assert talk.hear("error")["error"]["code"] == "job_state"
    assert talk.closed() == 1008


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("garbage", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "no JSON object"),
        (b"\x00\x01", "not bytes"),
        ("x" * (realtime.LONGEST + 1), "more than 1048576 characters"),
        ('{"type":"input_audio_buffer.append"}', "'audio': Field required"),
        ('{"type":"input_audio_buffer.append","audio":"A"}', "no base64"),
        ('{"type":"input_audio_buffer.append","audio":7}', "no base64"),
        ('{"type":"input_audio_buffer.append","audio":"AAAA"}', "no whole 16-bit samples"),
        ('{"type":"input_audio_buffer.append","audio":"AAA=","seq":7}', "Frame 1 is missing"),
    ],
)
def test_what_cannot_be_passed_over_ends_it(talk: Talk, message: str | bytes, words: str) -> None:
    talk.send(message)
    error = talk.hear("error")["error"]
    assert error["code"] == "invalid_request"
    assert words in error["message"]
    assert talk.closed() == 1008


def test_a_frame_without_end_is_cut_off(address: str) -> None:
    with talking(address) as talk:
        with suppress(ConnectionClosed):  # it may be cut off before it has sent all
            talk.send("x" * (16 * realtime.LONGEST))
        assert talk.closed() in {1009, None}
    with talking(address) as talk:
        talk.hear("session.created")


def test_what_is_refused_costs_nothing_a_few_times(talk: Talk, redis: Redis) -> None:
    talk.append(SOUND)
    for kind, fields, code in (
        ("dance", {}, "invalid_request"),
        ("session.update", {"session": {"type": "realtime"}}, "invalid_request"),
        ("session.update", {"session": {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}}, "invalid_request"),
    ):
        talk.say(kind, event_id="mine", **fields)
        assert talk.hear("error")["error"]["code"] == code
    talk.say("input_audio_buffer.commit")
    job_id = talk.hear("input_audio_buffer.committed")["item_id"]
    assert kept(redis, job_id) == (SOUND, True)
    talk.say("input_audio_buffer.commit", event_id="mine")
    error = talk.hear("error")["error"]
    assert (error["code"], error["event_id"]) == ("audio_empty", "mine")
    for _ in range(7):
        talk.say("dance")
        talk.hear("error")
    assert talk.closed() == 1008


@pytest.mark.parametrize(
    ("heard", "code"),
    [({"transcription": {"language": "tlh"}}, "unknown_language"), ({"transcription": {"model": "none"}}, "not_served"),
     ({"format": {"type": "audio/pcm", "rate": 96_000}}, "invalid_request")],
)  # fmt: skip
def test_what_no_job_can_be_made_of(talk: Talk, heard: dict[str, Any], code: str, redis: Redis) -> None:
    """It is refused when it is asked for, and all goes on as before."""
    talk.say("session.update", event_id="mine", session={"type": "transcription", "audio": {"input": heard}})
    error = talk.hear("error")["error"]
    assert (error["code"], error["event_id"]) == (code, "mine")
    talk.append(SOUND)
    talk.say("input_audio_buffer.commit")
    assert kept(redis, talk.hear("input_audio_buffer.committed")["item_id"]) == (SOUND, True)


def test_who_says_nothing_is_not_kept(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dictation, "SILENT_S", 0.1)
    with talking(address) as talk:
        assert "Nothing has come" in talk.hear("error")["error"]["message"]
        assert talk.closed() == 1008


def test_a_socket_outlives_the_time_for_a_head(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrq_worker.http.connections.HEAD_S", 0.2)
    with serving(settings, "127.0.0.1", 0) as port, talking(f"http://127.0.0.1:{port}") as talk:
        time.sleep(0.5)  # what must not happen sends no signal
        talk.say("session.update", session={"type": "transcription"})
        talk.hear("session.updated")


def test_redis_away(settings: Settings) -> None:
    settings = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1", "redis_retry_s": 0.1})
    with serving(settings, "127.0.0.1", 0) as port, talking(f"http://127.0.0.1:{port}") as talk:
        talk.append(SOUND)
        error = talk.hear("error")["error"]
        assert (error["code"], error["retryable"]) == ("queue_unreachable", True)
        assert talk.closed() == 1013


def test_a_defect_ends_it(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime, "session", lambda *_: 1 / 0)
    with talking(address) as talk:
        assert talk.closed() == 1011


def test_pages_of_other_sites_may_not_listen(address: str) -> None:
    with pytest.raises(InvalidStatus) as refused, talking(address, origin="https://elsewhere.example"):
        pass
    assert refused.value.response.status_code == 403


@pytest.fixture
def guarded(settings: Settings, tmp_path: Path) -> Iterator[tuple[str, Metrics]]:
    """Where a gateway listens that asks for keys, and what it counts."""
    path, metrics = tmp_path / "keys.toml", Metrics()
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("anna", "boris")}
    limits = {"anna": "requests = 1", "boris": "audio_s = 10"}
    path.write_text("\n".join(f'[{name}]\nsha256 = "{digests[name]}"\n{limits[name]}' for name in digests))
    with serving(settings.model_copy(update={"http_keys": path}), "127.0.0.1", 0, metrics) as port:
        yield f"http://127.0.0.1:{port}", metrics


def with_key(key: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {key}"}}


def test_a_key_is_needed(guarded: tuple[str, Metrics]) -> None:
    address, metrics = guarded
    for options in ({}, with_key("nobody")):
        with talking(address, **options) as talk:
            assert talk.hear("error")["error"]["code"] == "unauthorized"
            assert talk.closed() == 1008
    by_a_page = {"subprotocols": ["realtime", "openai-insecure-api-key.anna"]}
    with talking(address, **by_a_page) as talk:
        assert talk.hear("session.created")["session"]["id"].startswith("anna-")
        with talking(address, **with_key("anna")) as second:
            assert second.hear("error")["error"]["code"] == "quota_exceeded"
            assert second.closed() == 1013
    route = "/v1/realtime/transcription"
    until(lambda: f'asrq_http_requests_total{{route="{route}",status="101"}} 4.0' in metrics.exposition().decode())


def test_nobody_hears_what_others_say(guarded: tuple[str, Metrics], redis: Redis) -> None:
    address, _ = guarded
    with talking(address, **with_key("anna")) as talk:
        talk.append(SOUND)
        job_id = talk.hear("conversation.item.added")["item"]["id"]
        with talking(address, f"/v1/realtime/transcription?id={job_id}", **with_key("boris")) as other:
            assert other.hear("error")["error"]["code"] == "job_not_found"
            assert other.closed() == 1008
        until(lambda: kept(redis, job_id) == (SOUND, False))


def test_the_audio_of_the_day_has_an_end(guarded: tuple[str, Metrics], scripted: ScriptedWorker) -> None:
    address, _ = guarded
    with talking(address, **with_key("boris")) as talk:
        talk.append(SOUND)
        scripted.complete(scripted.take(), "so much", duration=11.0)
        talk.hear(f"{ITEM}.completed")
    with talking(address, **with_key("boris")) as talk:
        talk.append(SOUND)
        assert talk.hear("error")["error"]["code"] == "quota_exceeded"
