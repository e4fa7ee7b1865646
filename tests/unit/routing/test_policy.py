"""Which backend serves, and when one on trial is rolled back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_jobs.errors import (
    AsrqError,
    AudioUnreadableError,
    CanceledError,
    EngineCrashedError,
    ModelMissingError,
    NotServedError,
    PoisonedError,
    UnsupportedOptionError,
)
from asrq_jobs.plugins import OURS
from asrq_jobs.policy import Policy, Share
from asrq_jobs.request import PathAudio, Request
from asrq_worker.backends import registry
from asrq_worker.backends.base import Capabilities
from asrq_worker.routing.offers import Offer
from asrq_worker.routing.policy import FEWEST, BackendOutcome, Route, cannot, falls_back, route, verdict

NOW = 1_000_000.0


def _request(job_id: str = "a", **fields: str) -> Request:
    return Request.build(id=job_id, audio=PathAudio(path="/a"), **fields)


def _offer(backend: str, model: str) -> Offer:
    return Offer(backend=backend, model=model)


def _always(_name: str) -> bool:
    return True


EVERY = ("whisper", "qwen", "onnx")
ENGLISH = Capabilities(languages=frozenset({"en"}), detects_language=False)


def _route(
    request: Request, policy: Policy, usable: Callable[[str], bool] = _always, **capabilities: Capabilities
) -> Route:
    offers = [Offer(backend=name, model="m", capabilities=capabilities.get(name)) for name in EVERY]
    return route(request, policy, offers, usable)


def test_the_backend_serves_and_the_fallback_stands_by() -> None:
    assert _route(_request(), Policy(backend="qwen", fallback="whisper")) == Route("qwen", ("qwen", "whisper"))
    assert _route(_request(), Policy(backend="whisper")) == Route("whisper", ("whisper",))


def test_a_backend_that_is_known_to_fail_is_left_out_while_another_remains() -> None:
    policy = Policy(backend="qwen", fallback="whisper")
    assert _route(_request(), policy, lambda name: name != "qwen") == Route("qwen", ("whisper",))
    assert _route(_request(), policy, lambda _name: False) == Route("qwen", ("qwen", "whisper"))


def test_a_canary_falls_back_on_what_serves() -> None:
    policy = Policy(backend="whisper", canary=Share(backend="qwen", share=1))
    assert _route(_request(), policy) == Route("qwen", ("qwen", "whisper"))


def test_a_job_may_ask_for_what_is_here_and_nothing_else() -> None:
    policy = Policy(backend="whisper", canary=Share(backend="qwen", share=0.01))
    assert _route(_request(backend="qwen"), policy) == Route("qwen", ("qwen",))
    with pytest.raises(NotServedError, match="server"):
        _route(_request(backend="server"), policy)


@pytest.mark.parametrize("policy", [
    Policy(backend="whisper", fallback="qwen"),
    Policy(backend="qwen", canary=Share(backend="whisper", share=1)),
])  # fmt: skip
def test_a_backend_that_cannot_do_what_is_asked_is_left_out(policy: Policy) -> None:
    russian = _request(language="ru")
    chosen = _route(russian, policy, whisper=ENGLISH)
    assert (chosen.wanted, chosen.candidates) == ("qwen", ("qwen",))
    assert isinstance(chosen.refused, UnsupportedOptionError)
    with pytest.raises(UnsupportedOptionError):
        _route(russian, policy, whisper=ENGLISH, qwen=ENGLISH)
    with pytest.raises(UnsupportedOptionError):
        _route(_request(language="ru", backend="whisper"), policy, whisper=ENGLISH)
    english = _route(_request(language="en"), policy, whisper=ENGLISH, qwen=ENGLISH)
    assert english == Route("whisper", ("whisper", "qwen"))


def test_a_job_goes_to_the_backend_that_has_the_model() -> None:
    policy, offers = Policy(backend="qwen", fallback="whisper"), [_offer("qwen", "1.7b"), _offer("whisper", "base")]
    assert route(_request(model="base"), policy, offers, _always).candidates == ("whisper",)
    with pytest.raises(NotServedError, match="large"):
        route(_request(model="large"), policy, offers, _always)


def test_no_backend_stands_in_for_itself_nor_runs_beside_itself() -> None:
    share = {"backend": "whisper", "share": 0.5}
    written = {"backend": "whisper", "fallback": "whisper", "canary": share, "shadow": share}
    assert Policy.model_validate_json(json.dumps(written)) == Policy(backend="whisper")


def test_a_shadow_hears_its_share_of_what_another_backend_has_served() -> None:
    policy = Policy(backend="whisper", canary=Share(backend="qwen", share=0.5), shadow=Share(backend="qwen", share=1))
    assert policy.shadow_of(_request(), "whisper") == "qwen"
    assert policy.shadow_of(_request(), "qwen") is None, "it was served by the canary"
    assert policy.shadow_of(_request(backend="whisper"), "whisper") is None
    few = Policy(backend="whisper", shadow=Share(backend="qwen", share=0.01))
    assert sum(few.shadow_of(_request(f"job-{n}"), "whisper") == "qwen" for n in range(1000)) < 50
    assert Policy(backend="whisper").shadow_of(_request(), "whisper") is None


def test_the_backends_that_clients_know_are_those_that_workers_have() -> None:
    assert registry.names() == OURS


@given(share=st.floats(0.01, 1), ids=st.lists(st.text("abc123_-", min_size=1, max_size=12), min_size=1, max_size=30))
def test_a_share_is_decided_by_the_id_alone_and_grows_with_the_share(share: float, ids: list[str]) -> None:
    some, more = Share(backend="qwen", share=share), Share(backend="qwen", share=1)
    for job_id in ids:
        assert some.takes(job_id) == some.takes(job_id)
        assert more.takes(job_id)


def test_a_share_takes_about_its_share() -> None:
    taken = sum(Share(backend="qwen", share=0.05).takes(f"job-{n}") for n in range(4000))
    assert 150 < taken < 250


@pytest.mark.parametrize(
    ("error", "fails", "is_unable"),
    [
        (EngineCrashedError("x"), True, False),
        (ModelMissingError("x"), True, False),
        (PoisonedError("x"), True, False),
        (UnsupportedOptionError("x"), False, True),
        (NotServedError("x"), False, True),
        (AudioUnreadableError("x"), False, False),
        (CanceledError("x"), False, False),
    ],
)
def test_another_backend_is_tried_where_it_may_help(error: AsrqError, fails: bool, is_unable: bool) -> None:
    assert (falls_back(error), cannot(error)) == (fails, is_unable)


def _outcomes(good: int, bad: int = 0, *, rtfx: float = 10.0, at: float = NOW - 5) -> list[BackendOutcome]:
    return [BackendOutcome(at=at, rtfx=rtfx)] * good + [BackendOutcome(at=at, code="engine_crashed")] * bad


def test_too_many_failures_are_a_reason() -> None:
    assert verdict(_outcomes(18, 2), [], now=NOW, since=0) is None
    reason = verdict(_outcomes(17, 3), [], now=NOW, since=0)
    assert reason == "3 of 20 jobs failed, most of them with engine_crashed"


def test_a_few_outcomes_or_old_ones_prove_nothing() -> None:
    assert verdict(_outcomes(0, FEWEST - 1), [], now=NOW, since=0) is None
    assert verdict(_outcomes(0, 50, at=NOW - 700), [], now=NOW, since=0) is None
    assert verdict(_outcomes(0, 50), [], now=NOW, since=NOW - 1) is None


def test_half_the_speed_is_a_reason_where_both_can_be_compared() -> None:
    reason = verdict(_outcomes(20, rtfx=4), _outcomes(20, rtfx=10), now=NOW, since=0)
    assert reason == "median of 0.25 s for each second of audio against 0.10"
    assert verdict(_outcomes(20, rtfx=6), _outcomes(20, rtfx=10), now=NOW, since=0) is None
    assert verdict(_outcomes(20, rtfx=4), _outcomes(5, rtfx=10), now=NOW, since=0) is None


def test_a_slow_end_is_a_reason_though_the_median_is_good() -> None:
    trial = _outcomes(18, rtfx=10) + _outcomes(2, rtfx=1)
    reason = verdict(trial, _outcomes(20, rtfx=10), now=NOW, since=0)
    assert reason == "95th percentile of 1.00 s for each second of audio against 0.10"


def test_rolling_back_ends_the_trial() -> None:
    canary = Policy(backend="whisper", fallback="whisper", canary=Share(backend="qwen", share=0.1))
    assert (canary.on_trial, canary.rolled_back()) == ("qwen", Policy(backend="whisper", fallback="whisper"))
    switched = Policy(backend="qwen", fallback="whisper")
    assert (switched.on_trial, switched.rolled_back().backend) == ("qwen", "whisper")
    assert switched.rolled_back().on_trial is None
