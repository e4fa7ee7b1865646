"""`asrq dead` and `asrq reaper --once` as operators run them, against a real Valkey and no worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from asrq_jobs import Client, keys
from asrq_jobs.errors import AudioUnreadableError
from asrq_jobs.request import PathAudio
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.queue.execution import Execution
from asrq_worker.reaper.reaper import Reaper

if TYPE_CHECKING:
    from conftest import Asrq


@pytest.fixture
def failed(client: Client, redis: Redis, valkey_url: str) -> list[str]:
    """Jobs whose worker died at their only attempt."""
    ids = ["one", "two", "three"]
    for job_id in ids:
        client.submit(PathAudio(path="/audio/talk.mp3"), id=job_id, retries=0)
        redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
        execution = Execution(job_id, "only", "batch", "host.fake.batch.1")
        execution.begin(redis, lease_s=3)
        redis.zadd(keys.LEASES, {execution.lease: 1.0})
    Reaper(redis, Settings(redis_url=valkey_url)).run_once()
    redis.delete(keys.LEADER)
    return ids


@pytest.fixture
def scripted(redis: Redis) -> ScriptedWorker:
    """A worker that does as it is told."""
    return ScriptedWorker(redis)


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_list_and_show(asrq: Asrq, failed: list[str]) -> None:
    rows = [line.split("\t") for line in asrq("dead", "list").stdout.splitlines()]
    assert sorted(row[0] for row in rows) == sorted(failed)
    assert {(row[1], row[2], row[4], row[6]) for row in rows} == {
        ("batch", "worker_lost", "1", "transcribe talk.mp3 (auto)")
    }
    assert asrq("dead", "list", "--code", "poisoned", "--all").stdout == ""
    assert asrq("dead", "list", "--older-than", "1h").stdout == ""
    assert len(lines(asrq("dead", "list", "--json", "--most", "2").stdout)) == 2
    assert asrq("list", "--state", "failed", "--code", "poisoned").stdout == ""
    assert asrq("list", "--older-than", "1h").stdout == ""
    by_code = asrq("list", "--code", rows[0][2]).stdout.splitlines()
    assert {line.split("\t")[0] for line in by_code} == {row[0] for row in rows if row[2] == rows[0][2]}
    shown = asrq("dead", "show", "one", "nowhere")
    assert shown.returncode == 1
    assert "attempt 1" in shown.stdout
    assert "[worker_lost]" in shown.stdout
    assert "[job_not_found]" in shown.stderr
    letter = lines(asrq("dead", "show", "one", "--json").stdout)[0]
    assert [attempt["worker"] for attempt in letter["attempts"]] == ["host.fake.batch.1"]  # type: ignore[attr-defined]


def test_all_are_shown_or_those_that_are_chosen(asrq: Asrq, failed: list[str]) -> None:
    shown = asrq("dead", "show", "--all", "--json")
    assert sorted(json.loads(line)["id"] for line in shown.stdout.splitlines()) == sorted(failed)
    assert asrq("dead", "show", "--all", "--older-than", "1d").stdout == ""
    neither = asrq("dead", "show")
    assert (neither.returncode, "hint: Give ids; or --all" in neither.stderr) == (2, True)


def test_retry_and_purge(asrq: Asrq, client: Client, failed: list[str]) -> None:
    assert asrq("dead", "retry", "one").stdout == "one  queued\n"
    assert client.state("one").attempt == 1, "its history stays"
    again = asrq("dead", "purge", "one", "--json")
    assert again.returncode == 1
    assert lines(again.stdout)[0]["error"]["code"] == "job_state"  # type: ignore[index]
    purged = asrq("dead", "purge", "--all", "--code", "worker_lost", "--json")
    assert {(line["id"], line["status"]) for line in lines(purged.stdout)} == {("two", "purged"), ("three", "purged")}
    assert [state.id for state in client.jobs()] == ["one"]


def test_what_can_only_fail_again_is_retried_by_name_alone(
    asrq: Asrq, client: Client, failed: list[str], scripted: ScriptedWorker
) -> None:
    client.submit(PathAudio(path="/audio/letter.txt"), id="hopeless")
    scripted.fail(scripted.take("batch"), AudioUnreadableError("This is no audio."))
    every = asrq("retry", "--all")
    assert sorted(every.stdout.split("\n")[:-1]) == sorted(f"{job_id}  queued" for job_id in failed)
    assert every.returncode == 0
    assert "1 can only fail again and are left alone (audio_unreadable)" in every.stderr
    assert client.state("hopeless").status == "failed"
    assert asrq("retry", "--all", "--code", "audio_unreadable").stdout == "hopeless  queued\n"


def test_a_mistyped_code_is_not_taken_for_none(asrq: Asrq, failed: list[str]) -> None:
    assert "Did you mean 'worker_lost'?" in asrq("list", "--code", "worker_lots").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["dead", "purge"],
        ["dead", "purge", "one", "--all"],
        ["dead", "purge", "one", "--code", "worker_lost"],
        ["dead", "retry", "--lane", "batch"],
        ["retry", "one", "--all"],
        ["list", "--state", "queued", "--code", "worker_lost"],
        ["list", "--code", "worker_lots"],
        ["retry", "--all", "--code", "worker_lots"],
        ["dead", "list", "--older-than", "soon"],
        ["reaper", "--dry-run"],
        ["reaper", "--json"],
    ],
)
def test_what_is_not_clear_is_asked_for(asrq: Asrq, client: Client, failed: list[str], arguments: list[str]) -> None:
    done = asrq(*arguments)
    assert done.returncode == 2
    assert "[usage]" in done.stderr
    assert len(client.dead_letters()) == len(failed)


def test_the_reaper_says_what_it_would_do_and_does_it(asrq: Asrq, client: Client, redis: Redis) -> None:
    assert asrq("reaper", "--once").stdout == "Nothing to do.\n"
    assert not redis.exists(keys.LEADER)
    client.submit(PathAudio(path="/audio/talk.mp3"), id="late", queue_ttl_s=1)
    redis.hset(keys.job("late"), "enqueued_at", "2026-01-01T00:00:00.000000Z")
    redis.rpush(keys.queue("batch"), b"gh\xffst")
    assert asrq("reaper", "--once", "--dry-run").stdout == "expired\tlate\nsuspected\tgh\\udcffst\n"
    assert client.state("late").status == "queued"
    report = lines(asrq("reaper", "--once", "--json").stdout)[0]
    assert (report["leading"], report["expired"], report["suspected"]) == (True, ["late"], ["gh\udcffst"])
    assert client.state("late").status == "failed"
    redis.set(keys.LEADER, "another", ex=60)
    assert asrq("reaper", "--once").stdout == "Another reaper leads; nothing was done.\n"
