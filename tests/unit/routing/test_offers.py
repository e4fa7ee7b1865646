"""Which worker can serve a job, decided from what it needs and what workers say of themselves."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_jobs.errors import ModelMissingError, NotServedError, UnsupportedOptionError
from asrq_jobs.languages import NAMES
from asrq_jobs.request import PathAudio, Request
from asrq_worker.backends.base import Capabilities
from asrq_worker.routing.offers import Need, Offer, Registration, refusal, served

ENGLISH = Capabilities(languages=frozenset({"en"}), detects_language=False)
MANY = Capabilities(languages=frozenset({"en", "ru", "de"}), word_timestamps=True)
TINY = Offer(backend="whisper", model="tiny.en", capabilities=ENGLISH)
QWEN = Offer(backend="qwen", model="1.7b", capabilities=MANY)
UNTRIED = Offer(backend="qwen", model="1.7b")
BROKEN = Offer(backend="qwen", model="1.7b", error=ModelMissingError("Model '1.7b' is not on this machine.").info())

NEEDS = st.builds(
    Need,
    backend=st.none() | st.text(min_size=1, max_size=20),
    model=st.none() | st.text(min_size=1, max_size=20),
    language=st.sampled_from(["auto", *NAMES]),
    languages=st.just(()),
    task=st.sampled_from(["transcribe", "translate"]),
    extras=st.sets(st.sampled_from(["word_timestamps", "prompt", "hotwords"])).map(
        lambda some: tuple(name for name in ("word_timestamps", "prompt", "hotwords") if name in some)
    ),
)


def need(**fields: Any) -> Need:
    return Need.of(Request.build(id="a", audio=PathAudio(path="/a"), **fields))


@given(NEEDS | NEEDS.map(lambda need: replace(need, language="auto", languages=("ru", "en"))))
def test_the_name_of_a_need_says_all_of_it(asked: Need) -> None:
    name = str(asked)
    assert Need.parse(name) == asked
    assert re.fullmatch(r"[A-Za-z0-9_.~=+,-]+", name), "it is part of the name of a key, and of an address"
    assert Need.of(asked.request()) == asked


@given(st.text())
def test_any_other_text_names_none(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert str(Need.parse(text)) == text


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "language=auto"),
        ({"backend": "qwen"}, "qwen"),
        ({"language": "ru"}, "language=ru"),
        ({"languages": ("ru", "English")}, "languages=ru,en"),
        ({"model": "Qwen/Qwen3-ASR-1.7B"}, "model=Qwen~2FQwen3-ASR-1.7B"),
        (
            {"backend": "whisper", "task": "translate", "hotwords": ("a",), "prompt": "b"},
            "whisper+task=translate+with=prompt,hotwords",
        ),
    ],
)
def test_names_that_people_read(fields: dict[str, Any], name: str) -> None:
    assert str(need(**fields)) == name


@pytest.mark.parametrize(
    ("fields", "offers", "error"),
    [
        ({}, [QWEN], None),
        ({"backend": "qwen"}, [TINY, QWEN], None),
        ({"backend": "qwen", "model": "1.7b"}, [TINY, QWEN], None),
        ({"model": "1.7b"}, [TINY, QWEN], None),
        ({"language": "ru"}, [TINY, QWEN], None),
        ({"languages": ("ru", "en")}, [TINY, QWEN], None),
        ({"languages": ("ru", "en")}, [TINY], UnsupportedOptionError),
        ({"languages": ("en",)}, [TINY], None),
        ({"language": "ru"}, [TINY, UNTRIED], None),  # it may know Russian
        ({"language": "en"}, [TINY, BROKEN], None),
        ({"backend": "qwen"}, [TINY], NotServedError),
        ({"backend": "whisper", "model": "1.7b"}, [TINY, QWEN], NotServedError),
        ({"model": "0.6b"}, [TINY, UNTRIED], NotServedError),
        ({"language": "ru"}, [TINY], UnsupportedOptionError),
        ({}, [TINY], UnsupportedOptionError),  # it may be Russian
        ({}, [TINY, QWEN], None),
        ({}, [TINY, UNTRIED], None),
        ({"word_timestamps": True}, [TINY], UnsupportedOptionError),
        ({"language": "ru"}, [TINY, BROKEN], UnsupportedOptionError),  # of the one that serves
        ({"language": "ru", "backend": "whisper"}, [TINY, QWEN], UnsupportedOptionError),
        ({"task": "translate"}, [TINY, QWEN], UnsupportedOptionError),
        ({"word_timestamps": True}, [TINY, QWEN], None),
        ({"backend": "qwen"}, [TINY, BROKEN], ModelMissingError),
        ({}, [BROKEN], ModelMissingError),
        ({"language": "ru"}, [TINY, QWEN.model_copy(update={"on_request": True})], UnsupportedOptionError),
        ({"backend": "qwen"}, [TINY, QWEN.model_copy(update={"on_request": True})], None),
        ({}, [], NotServedError),
    ],
)
def test_a_worker_can_serve_what_one_of_its_backends_can(
    fields: dict[str, Any], offers: list[Offer], error: type[Exception] | None
) -> None:
    found = refusal(need(**fields), offers)
    assert type(found) is (error or type(None))


def registered(*offers: Offer, lanes: str = "batch:2") -> Registration:
    """As another worker reads what this one has written."""
    status = {
        "state": "ready",
        "lanes": lanes,
        "serves": [o.model_dump(mode="json", exclude_none=True) for o in offers],
    }
    read = Registration.read(json.dumps(status))
    assert read is not None
    assert read.serves == offers
    return read


def test_another_worker_serves_what_it_says_in_the_lanes_that_it_has() -> None:
    workers = [registered(TINY), registered(QWEN, lanes="interactive:1,batch:0")]
    assert served(need(backend="qwen"), "interactive", workers)
    assert not served(need(backend="qwen"), "batch", workers)
    assert served(need(language="en"), "batch", workers)
    assert not served(need(language="en"), "interactive", [workers[0], registered(BROKEN, lanes="interactive:1")])


@given(st.text() | st.dictionaries(st.sampled_from(["lanes", "serves"]), st.text() | st.integers()).map(json.dumps))
def test_whatever_is_written_as_a_registration_no_decision_fails(text: str) -> None:
    read = Registration.read(text)
    assert read is None or not served(need(), "batch", [read])


def test_a_worker_of_another_version_may_say_more_or_nothing() -> None:
    more = {"lanes": "batch:1", "serves": [{"backend": "qwen", "model": "m", "more": 1}], "more": 1}
    assert served(need(backend="qwen"), "batch", filter(None, [Registration.read(json.dumps(more))]))
    assert not served(need(), "batch", filter(None, [Registration.read('{"lanes": "batch:1"}')]))
