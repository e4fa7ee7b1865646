"""The documents of the protocol, languages and errors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

import asrq_jobs
from asrq_jobs import errors
from asrq_jobs.errors import AsrqError, ErrorInfo, InvalidRequestError, UnknownLanguageError, all_errors, from_info
from asrq_jobs.events import Event
from asrq_jobs.request import BlobAudio, Request
from asrq_jobs.result import Result

PROTOCOL = Path(__file__).resolve().parents[3] / "docs" / "reference" / "protocol.md"
PATH = {"kind": "path", "path": "/a.wav"}
REQUEST = {"schema": "asrq.request/1", "id": "a", "audio": PATH}


def test_a_request_survives_its_json() -> None:
    request = Request.build(id="a-1", audio=BlobAudio(sha256="0" * 64, bytes=3), hotwords=["Wien"], language="German")
    assert Request.parse(json.loads(request.to_json())) == request
    assert request.language == "de"
    assert json.loads(request.to_json())["schema"] == "asrq.request/1"
    said = {"schema", "id", "audio", "hotwords", "language"}
    assert json.loads(request.to_json()).keys() == said, "a job that waits takes no room for what it does not say"


def test_languages_to_choose_among_are_codes_each_once() -> None:
    assert Request.parse(REQUEST | {"languages": ["Russian", "en", "ru"]}).languages == ("ru", "en")
    with pytest.raises(UnknownLanguageError):
        Request.parse(REQUEST | {"languages": ["Rusian"]})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": "a b"}, "'id': it may hold A to Z, a to z, 0 to 9, - and _, and has 1 to 64 of them."),
        ({"id": ""}, "'id': it may hold"),
        ({"id": "x" * 65}, "'id': it may hold"),
        ({"id": 7}, "'id'"),
        ({"lane": "fast"}, "'lane'"),
        ({"retries": 21}, "'retries'"),
        ({"audio": {"kind": "tape"}}, "'audio'"),
        ({"schema": "asrq.request/2"}, "'schema'"),
        ({"retries": True}, "'retries'"),
        ({"timeout_s": "90"}, "'timeout_s'"),
        ({"audio": {"kind": "blob", "sha256": "0" * 64, "bytes": "1"}}, "'audio.blob.bytes'"),
        ({"hotwords": [""]}, "'hotwords.0'"),
        ({"languages": ["ru", "auto"]}, "'languages'"),
        ({"languages": ["ru", "en"], "language": "ru"}, "'languages': must be left out"),
        ({"languages": ["en"] * 21}, "'languages'"),
        ({"metadata": {"order": "\ud800"}}, "'metadata': must be text in Unicode"),
        ({"speakers": 2}, "Speakers, min_speakers and max_speakers need diarize."),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Request.parse(REQUEST | change)
    assert told in caught.value.message


def test_a_document_says_which_it_is() -> None:
    with pytest.raises(InvalidRequestError, match="'schema'"):
        Request.parse({"id": "a", "audio": PATH})


def test_an_unknown_field_of_a_request_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidRequestError, match="'langauge'") as caught:
        Request.parse(REQUEST | {"langauge": "ru"})
    assert caught.value.hint == "Did you mean 'language'?"


def test_an_unknown_field_of_a_result_is_tolerated() -> None:
    parsed = Result.from_json('{"schema":"asrq.result/1","id":"a","status":"completed","invented":1}')
    assert parsed.text is None
    assert "invented" not in parsed.document()
    with pytest.raises(ValidationError):
        Result.from_json('{"schema":"asrq.result/2","id":"a","status":"completed"}')


def test_events_leave_out_what_does_not_apply() -> None:
    event = Event(type="queued", at=1.5, lane="batch", depth=2)
    assert event.to_json() == '{"type":"queued","at":1.5,"lane":"batch","depth":2}'
    assert Event.from_entry({b"event": event.to_json().encode()}) == event
    assert [Event(type=kind, at=0).terminal for kind in ("completed", "failed", "canceled", "chunk")] == [
        True, True, True, False
    ]  # fmt: skip


def test_every_error_has_a_code_of_its_own_and_survives_its_document() -> None:
    classes = all_errors()
    codes = [cls.code for cls in classes]
    assert len(set(codes)) == len(codes)
    for cls in classes:
        again = from_info(cls("It broke.").info())
        assert type(again) is cls
        assert again.message == "It broke."
        assert cls.__doc__


def _codes_of_whose_turn(*whose: str) -> set[str]:
    """Return the codes in those rows of the protocol's table that says who has to do something."""
    rows = (line.split("|")[1:3] for line in PROTOCOL.read_text("utf-8").splitlines() if line.startswith("| "))
    return {code for row in rows if row[0].strip() in whose for code in re.findall(r"`(\w+)`", row[1])}


def test_what_may_be_tried_again_is_what_the_protocol_tells_clients_to_try_again() -> None:
    retryable = {cls.code for cls in all_errors() if cls.retryable}
    again = _codes_of_whose_turn("wait, then try again", "try the job again; if it stays, the operator")
    users = _codes_of_whose_turn("the user: the recording", "the user: the request", "your program")
    assert again <= retryable
    assert users & retryable == {"fetch_failed", "no_room"}, "the network may come back, and another worker have room"
    passing = {"engine_unavailable", "out_of_memory", "storage_unusable"}
    assert _codes_of_whose_turn("the operator") & retryable == passing, "another worker may be better off"


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = (errors.__doc__ or "").split()
    for cls in all_errors():
        assert cls.__name__ in drawn
        assert cls.code in drawn


def test_an_error_of_a_newer_worker_is_still_an_error() -> None:
    error = from_info(ErrorInfo(code="novel", message="New.", retryable=True, stage="worker"))
    assert type(error) is AsrqError
    assert "novel" in error.message


def test_every_public_name_is_there() -> None:
    for name in asrq_jobs.__all__:
        assert getattr(asrq_jobs, name) is not None
    with pytest.raises(AttributeError):
        _ = asrq_jobs.invented
