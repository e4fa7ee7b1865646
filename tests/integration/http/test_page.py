"""The page for people as it is sent, and what it asks about the queue."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from redis import Redis
from support.processes import worker

from asrq_jobs import Client, keys, languages
from asrq_jobs.aio import AsyncClient
from asrq_jobs.request import PathAudio
from asrq_jobs.settings import Settings
from asrq_worker.http import queue
from asrq_worker.http.lanes import Lanes, LaneState


@pytest.mark.parametrize(("path", "kind"), [("/", "text/html"), ("/static/main.js", "text/javascript")])
def test_files_are_kept_by_browsers_and_asked_for_again(http: httpx.Client, path: str, kind: str) -> None:
    answer = http.get(path)
    assert answer.headers["Content-Type"].startswith(kind)
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    rules = dict(rule.strip().split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split(";"))
    assert rules["default-src"] == "'none'"
    assert {rules[name] for name in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
    again = http.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/static/none.js", "/static/..%2Fpage.py", "/static/%2e%2e/page.py", "/static/"])
def test_nothing_else_is_sent(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 404


def test_what_was_said_is_in_no_cache(http: httpx.Client) -> None:
    assert http.get("/v1/jobs").headers["Cache-Control"] == "no-store"


def test_the_queue_in_numbers(http: httpx.Client, client: Client, valkey_url: str, redis: Redis) -> None:
    empty = http.get("/v1/queue").json()
    assert empty["workers"] == 0
    assert empty["problem"].startswith("no worker is there")
    assert empty["can"]["word_timestamps"] is False
    for number, options in enumerate(({}, {}, {"language": "ru"})):
        client.submit(PathAudio(path="/talk.mp3"), id=f"job-{number}", **options)
    redis.rpush(keys.waiting("batch", "language=ru"), "apart")
    redis.sadd(keys.RQ_QUEUES, keys.waiting("batch", "language=ru"))
    redis.zadd(keys.registry("scheduled", "batch"), {"later": 2e9})
    assert http.get("/v1/queue").json()["lanes"]["batch"] == {
        "waiting": 5,
        "running": 0,
        "backlog_s": None,
        "drain_s": None,
    }
    redis.flushall()
    with worker(valkey_url):
        there = http.get("/v1/queue").json()
    assert (there["workers"], there["problem"]) == (1, None)
    assert there["can"]["languages"] == languages.NAMES
    assert there["can"]["word_timestamps"]


def test_how_long_the_lanes_take(settings: Settings, client: Client, redis: Redis) -> None:
    """An hour of audio in ten seconds. A page that looks again after a long time knows nothing of the time between."""

    async def looks() -> list[LaneState]:
        times = iter((0.0, 10.0, 200.0))
        async with AsyncClient(settings) as aio:
            lanes, seen = Lanes(aio, lambda: next(times)), []
            for completed in (0, 4, 4):
                redis.hset(keys.STATS, mapping={"audio_s:batch": 900 * completed, "completed:batch": completed})
                seen.append((await lanes.look())["batch"])
        return seen

    for number in range(3):
        client.submit(PathAudio(path="/talk.mp3"), id=f"job-{number}")
    first, second, late = asyncio.run(looks())
    assert (first.backlog_s, first.drain_s) == (None, None)
    assert (second.backlog_s, second.drain_s) == (pytest.approx(2700), pytest.approx(7.5))
    assert (late.backlog_s, late.drain_s) == (pytest.approx(2700), None)


@pytest.mark.parametrize(
    ("capabilities", "able"),
    [
        ([{"languages": ["en"], "tasks": ["transcribe"]}], (["en"], False, False, False)),
        (
            [
                {"languages": ["en"], "tasks": ["transcribe"], "word_timestamps": True},
                {"languages": ["ru"], "tasks": ["translate"], "detects_language": True},
            ],
            (["en", "ru"], True, True, False),
        ),
        ([None], (list(languages.NAMES), True, True, True)),
        (["nonsense"], (list(languages.NAMES), True, True, True)),
    ],
)
def test_what_all_backends_can_and_what_one_can(
    capabilities: list[object], able: tuple[list[str], bool, bool, bool]
) -> None:
    offers = [{"backend": f"b{number}", "model": "m", "capabilities": each} for number, each in enumerate(capabilities)]
    on_request = {"backend": "x", "model": "x", "on_request": True, "capabilities": {"languages": ["fr"]}}
    broken = {"backend": "y", "model": "y", "error": {"code": "model_missing"}}
    found = queue._abilities({"w": {"serves": [*offers, on_request, broken]}})
    assert (list(found.languages), found.detects_language, found.translate, found.word_timestamps) == able
