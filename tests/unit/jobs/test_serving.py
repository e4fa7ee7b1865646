"""What a client knows of who serves its jobs, from what workers have announced."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_jobs.errors import NotServedError
from asrq_jobs.serving import absence, by_settings, nobody, refuse_unknown

NOW = 1000.0


def worker(*served: tuple[str, str], state: str = "ready", at: float = NOW - 5, **said: Any) -> dict[str, Any]:
    serves = [{"backend": backend, "model": model} for backend, model in served]
    return {"state": state, "at": at, "serves": serves} | said


GPU = worker(("qwen", "1.7b"), ("whisper", "base"))
BROKEN = worker(serves=[{"backend": "qwen", "model": "1.7b", "error": {"code": "model_missing"}}])


@pytest.mark.parametrize("backend", ["whisper", "qwen", "server", "onnx", "house", "clap"])
def test_a_backend_that_somebody_knows_is_not_refused(backend: str) -> None:
    refuse_unknown(backend, {"a": worker(("house", "m")), "b": worker(backends=["clap"])})


@pytest.mark.parametrize(
    ("backend", "hint"),
    [
        ("qwne", "Did you mean qwen?"),
        ("Whisper", "Did you mean whisper?"),
        ("hause", "Did you mean house?"),
        ("xyz", "Backends: whisper, qwen, server, onnx, house."),
    ],
)
def test_one_that_nobody_knows_is_refused_with_those_that_are_near(backend: str, hint: str) -> None:
    with pytest.raises(NotServedError, match=repr(backend)) as caught:
        refuse_unknown(backend, {"a": worker(("house", "m"))})
    assert caught.value.hint == hint


def test_what_serves_without_a_policy_is_what_workers_announce() -> None:
    on_trial = {"backend": "clap", "model": "m", "on_request": True}
    cpu, trying = worker(("whisper", "base")), worker(serves=[{"backend": "whisper", "model": "base"}, on_trial])
    assert by_settings({}) == by_settings({"odd": {}, "loading": worker()}) == set()
    assert by_settings({"a": GPU, "b": GPU}) == {("qwen", "whisper")}
    assert by_settings({"a": GPU, "b": cpu, "c": trying}) == {("qwen", "whisper"), ("whisper", None)}


@pytest.mark.parametrize(
    ("asked", "workers", "remark"),
    [
        (("qwen", None), [GPU], None),
        (("qwen", "1.7b"), [GPU], None),
        ((None, "base"), [GPU], None),
        (("qwen", None), [BROKEN, GPU], None),
        (("qwen", None), [worker(("qwen", "m"), state="loading")], None),
        (
            ("qwen", None),
            [worker(("qwen", "m"), state="stopped"), worker(("whisper", "m"))],
            "no worker that serves the backend qwen runs now: the job waits for one",
        ),
        (
            ("qwen", None),
            [worker(("qwen", "m"), at=NOW - 3600)],
            "no worker that serves the backend qwen runs now: the job waits for one",
        ),
        (
            ("qwen", "base"),
            [GPU],
            (
                "no worker that is registered serves the backend qwen with the model base: if another one takes the "
                "job, it fails"
            ),
        ),
        (
            (None, "large"),
            [GPU],
            "no worker that is registered serves the model large: if another one takes the job, it fails",
        ),
        (
            ("qwen", None),
            [BROKEN],
            "no worker that is registered serves the backend qwen: if another one takes the job, it fails",
        ),
        (
            ("qwen", None),
            [],
            "no worker that is registered serves the backend qwen: if another one takes the job, it fails",
        ),
    ],
)
def test_what_is_remarked_where_nobody_serves_it_now(
    asked: tuple[str | None, str | None], workers: list[dict[str, Any]], remark: str | None
) -> None:
    by_name = {str(number): announced for number, announced in enumerate(workers)}
    there = {name for name, one in by_name.items() if one["state"] != "stopped" and one["at"] > NOW - 60}
    assert absence(*asked, by_name, there) == remark


FULL = {"state": "blocked", "problem": "Audio cannot be kept in /spool: No space left on device."}
GONE = {"state": "blocked", "problem": "There is no folder /cache."}
ABSENT = "no worker is there: the jobs wait until one starts (asrq worker)"


@pytest.mark.parametrize(
    ("workers", "sentence"),
    [
        ([], ABSENT),
        ([{"state": "draining"}], ABSENT),
        ([FULL, {"state": "ready"}], None),
        ([FULL, {"state": "loading"}], None),
        (
            [FULL, FULL, {"state": "draining"}],
            "no worker takes jobs: Audio cannot be kept in /spool: No space left on device",
        ),
        (
            [FULL, GONE],
            "no worker takes jobs: Audio cannot be kept in /spool: No space left on device; There is no folder /cache",
        ),
        ([{"state": "blocked"}], "no worker takes jobs: they cannot write"),
    ],
)
def test_that_nobody_takes_jobs_is_said_with_what_blocks_them(
    workers: list[dict[str, Any]], sentence: str | None
) -> None:
    assert nobody({str(at): announced for at, announced in enumerate(workers)}) == sentence


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda some: (
        st.lists(some, max_size=2)
        | st.dictionaries(st.sampled_from(["serves", "backends", "backend", "model", "at", "state"]), some, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_whatever_is_announced_nothing_fails(announced: Any) -> None:
    refuse_unknown("qwen", {"a": announced})
    assert isinstance(absence("qwen", None, {"a": announced}, {"a"}), str | None)
