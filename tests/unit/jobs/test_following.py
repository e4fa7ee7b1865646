"""Outages and absent workers while jobs are followed; what needs a server is in integration/jobs/test_follow.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from asrq_jobs.cli.follow import Condition, Following, Told, commands_for
from asrq_jobs.client import Client
from asrq_jobs.errors import AsrqError, QueueAuthError, QueueUnreachableError
from asrq_jobs.result import Result
from asrq_jobs.serving import nobody
from asrq_jobs.settings import Settings
from asrq_jobs.states import JobState

AWAY = QueueUnreachableError("Redis does not answer.")


class Stage:
    """A client whose server is away, or answers, as the test wants; its clock moves when it is waited for."""

    def __init__(self, *ids: str, **settings: float) -> None:
        self.settings = Settings(redis_retry_s=30, **settings)  # type: ignore[arg-type]  # numbers
        self.now = 0.0
        self.error: AsrqError | None = None
        self.workers_error: AsrqError | None = None
        self.there: dict[str, dict[str, str]] = {}
        self.results: dict[str, Result] = {}
        self.asked = 0
        self.redis = self
        self.following = Following(cast("Client", self), ids, now=lambda: self.now, pause=self._pass)

    def _pass(self, seconds: float) -> None:
        self.now += seconds

    def _answer(self) -> None:
        if self.error:
            raise self.error

    def result(self, job_id: str, *, peek: bool = False) -> Result | None:
        assert peek, "a look takes nothing"
        self._answer()
        return self.results.get(job_id)

    def state(self, job_id: str) -> JobState:
        self._answer()
        return JobState(id=job_id, status="queued")

    def workers(self) -> dict[str, Any]:
        self.asked += 1
        self._answer()
        if self.workers_error:
            raise self.workers_error
        return self.there

    def xread(self, _streams: object, *, block: int) -> dict[str, Any]:
        self._pass(block / 1000)
        self._answer()
        return {}

    def told(self, until: Callable[[], bool]) -> list[Told]:
        found: list[Told] = []
        while not until():
            found += self.following.news()
        return found


def conditions(told: list[Told]) -> list[Condition]:
    return [news for _, news in told if isinstance(news, Condition)]


def test_a_server_that_is_away_from_the_start_is_said_at_once() -> None:
    stage = Stage("a")
    stage.error = AWAY
    with pytest.raises(QueueUnreachableError):
        list(stage.following.news())
    assert not stage.following.reached
    assert stage.following.left == ["a"]


def test_an_outage_is_told_once_and_ridden_out() -> None:
    stage = Stage("a", "b")
    assert [job_id for job_id, _ in stage.following.news()] == ["a", "b"]
    stage.there = {"gpu1": {"state": "ready"}}
    stage.error = AWAY
    assert conditions(stage.told(lambda: stage.now >= 25)) == [Condition(answers=False)]
    stage.error = None
    stage.results = {"a": Result(id="a", status="completed"), "b": Result(id="b", status="completed")}
    told = stage.told(lambda: not stage.following.left)
    assert conditions(told)[0].answers
    assert [job_id for job_id, news in told if isinstance(news, Result)] == ["a", "b"]


def test_an_outage_that_does_not_end_ends_the_wait() -> None:
    stage = Stage("a")
    list(stage.following.news())
    stage.error = AWAY
    with pytest.raises(QueueUnreachableError):
        stage.told(lambda: stage.now >= 60)
    assert 30 <= stage.now < 33


def test_workers_that_come_and_go_are_told() -> None:
    stage = Stage("a")
    assert conditions(stage.told(lambda: stage.now >= 10)) == [Condition(absence=nobody({}))]
    stage.there = {"gpu1": {"state": "loading"}, "gpu2": {"state": "draining"}}
    assert conditions(stage.told(lambda: stage.now >= 20)) == [Condition()]
    assert stage.asked < 6


def test_who_may_not_see_workers_does_not_ask_again() -> None:
    stage = Stage("a")
    stage.workers_error = QueueAuthError("No.")
    assert conditions(stage.told(lambda: stage.now >= 20)) == []
    assert stage.asked == 1


def test_jobs_join_while_others_are_followed() -> None:
    stage = Stage()
    assert list(stage.following.news()) == []
    stage.following.add("a", known=True)
    assert stage.following.reached
    stage.following.add("a")
    assert [job_id for job_id, _ in stage.following.news()] == ["a"]
    stage.following.add("b")
    assert stage.following.left == ["a", "b"]


def test_how_to_go_on_names_jobs_and_options() -> None:
    assert commands_for(["a"], "--output", "my folder") == (
        "Wait again: asrq wait a --output 'my folder'. Stop: asrq cancel a."
    )
    many = [f"job{number}" for number in range(50)]
    assert " ".join(many) in commands_for(many)
    assert "asrq list" in commands_for(f"job{number}" for number in range(500))
