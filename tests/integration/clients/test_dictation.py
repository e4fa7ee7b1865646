"""The example clients while somebody speaks: every frame comes once, whatever breaks on the way."""

from __future__ import annotations

import subprocess
import time

import pytest
from redis import Redis
from support.relay import Relay
from support.waiting import until

from asrq_jobs import keys
from asrq_jobs.errors import AudioUnreadableError
from asrq_jobs.events import Event
from asrq_jobs.testing import ScriptedWorker

from .conftest import Start

pytestmark = pytest.mark.parametrize("program", ["_rust", "_node"], ids=["rust", "node"], indirect=True)

SOUND = bytes(range(256)) * 1000


def say(program: subprocess.Popen[str], sound: bytes) -> None:
    assert program.stdin is not None
    program.stdin.buffer.write(sound)
    program.stdin.buffer.flush()


def hang_up(program: subprocess.Popen[str]) -> None:
    assert program.stdin is not None
    program.stdin.close()
    program.stdin = None  # or `communicate` closes it again


def kept(redis: Redis, job_id: str) -> tuple[bytes, str | None]:
    """Return the sound that is there, and the end mark; frames are numbered without a gap."""
    entries = redis.xrange(keys.live(job_id))
    assert [entry for entry, _ in entries] == [b"%d-0" % number for number in range(1, len(entries) + 1)]
    sound = b"".join(fields.get(b"audio", b"") for _, fields in entries)
    ends = [fields[b"end"].decode() for _, fields in entries if b"end" in fields]
    assert len(ends) <= 1
    return sound, ends[0] if ends else None


def test_sound_comes_while_it_is_recorded(start: Start, scripted: ScriptedWorker, redis: Redis) -> None:
    program = start("--live", "--lang", "ru")
    job_id = scripted.take().job_id
    say(program, SOUND[:100_001])
    until(lambda: kept(redis, job_id) == (SOUND[:100_000], None))
    say(program, SOUND[100_001:])
    hang_up(program)
    until(lambda: kept(redis, job_id) == (SOUND, "end"))


def test_text_comes_while_the_user_speaks(start: Start, scripted: ScriptedWorker) -> None:
    program = start("--live")
    execution = scripted.take()
    assert program.stderr is not None
    say(program, SOUND)
    scripted.event(execution, Event(type="chunk", at=time.time(), start=0, end=1, text="First."))
    for line in program.stderr:
        if line.endswith(" chunk First.\n"):
            break
    hang_up(program)
    scripted.complete(execution, "First. Second.")
    out, err = program.communicate(timeout=60)
    assert (out, err.split()[-1], program.returncode) == ("First. Second.\n", "completed", 0)


def test_a_program_that_died_goes_on_after_its_last_frame(start: Start, scripted: ScriptedWorker, redis: Redis) -> None:
    victim = start("--live", "--id", "mine")
    execution = scripted.take()
    say(victim, SOUND[:60_000])
    until(lambda: kept(redis, "mine") == (SOUND[:60_000], None))
    victim.kill()
    heir = start("--live", "--id", "mine")
    say(heir, SOUND[60_000:])
    hang_up(heir)
    until(lambda: kept(redis, "mine") == (SOUND, "end"))
    scripted.complete(execution, "all of it")
    assert heir.communicate(timeout=60)[0] == "all of it\n"


def test_an_outage_loses_and_doubles_nothing(
    start: Start, scripted: ScriptedWorker, redis: Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Relay(valkey_url) as relay:
        monkeypatch.setenv("ASRQ_REDIS_URL", relay.url)
        program = start("--live")
        execution = scripted.take()
        say(program, SOUND[:50_000])
        until(lambda: kept(redis, execution.job_id)[0] == SOUND[:50_000])
        relay.down()
        say(program, SOUND[50_000:100_000])  # what a pipe holds
        hang_up(program)
        relay.up()
        until(lambda: kept(redis, execution.job_id) == (SOUND[:100_000], "end"))
        scripted.complete(execution, "nothing is missing")
        assert program.communicate(timeout=60)[0] == "nothing is missing\n"


def test_what_redis_has_taken_and_lost_is_sent_again(start: Start, scripted: ScriptedWorker, redis: Redis) -> None:
    program = start("--live")
    job_id = scripted.take().job_id
    say(program, SOUND[:50_000])
    until(lambda: kept(redis, job_id)[0] == SOUND[:50_000])
    redis.delete(keys.live(job_id))
    say(program, SOUND[50_000:100_000])
    hang_up(program)
    until(lambda: kept(redis, job_id) == (SOUND[:100_000], "end"))


def test_a_recording_that_is_too_long_is_ended(start: Start, scripted: ScriptedWorker, redis: Redis) -> None:
    redis.hset(keys.LIMITS, "live_s", 1)
    program = start("--live")
    execution = scripted.take()
    say(program, SOUND[:50_000])
    until(lambda: kept(redis, execution.job_id)[1] == "end")
    assert kept(redis, execution.job_id)[0] == SOUND[:32_000], "all that fits"
    scripted.complete(execution, "the first second")
    assert program.communicate(timeout=60)[0] == "the first second\n"


def test_a_job_that_ends_before_its_recording(start: Start, scripted: ScriptedWorker) -> None:
    program = start("--live")
    execution = scripted.take()
    say(program, SOUND[:50_000])
    scripted.fail(execution, AudioUnreadableError("It is noise."))
    assert program.wait(timeout=60) == 1  # its standard input is open still
    assert program.stderr is not None
    assert "It is noise. [audio_unreadable]" in program.stderr.read()
