"""What the bridge makes of a line."""

from __future__ import annotations

import json

import pytest

from asrq_jobs.errors import InvalidRequestError
from asrq_worker.backends.base import Capabilities, Identity
from asrq_worker.bridge import messages
from asrq_worker.bridge.messages import Audio, Blob, Cancel, End, Ping, Shutdown, Status, Transcribe, concerns, parse
from asrq_worker.engine.messages import Loaded


def test_lines() -> None:
    assert parse(b'{"op":"ping"}\r\n') == Ping(op="ping")
    assert parse(b' {"op": "status"}\n') == Status(op="status")
    assert parse(b'{"op":"shutdown"}\n') == Shutdown(op="shutdown")
    assert parse(b'{"op":"cancel","id":"a-1"}\n') == Cancel(op="cancel", id="a-1")
    asked = parse('{"op":"transcribe","request":{"id":"a","prompt":"Речь"}}\n'.encode())
    assert isinstance(asked, Transcribe)
    assert asked.request == {"id": "a", "prompt": "Речь"}
    piece = parse(json.dumps({"op": "blob", "sha256": "0" * 64, "base64": "AP8="}).encode())
    assert isinstance(piece, Blob)
    assert (piece.offset, piece.data) == (0, b"\x00\xff")
    frame = parse(b'{"op":"audio","id":"a","seq":1,"base64":"AP8="}')
    assert isinstance(frame, Audio)
    assert (frame.id, frame.seq, frame.data) == ("a", 1, b"\x00\xff")
    assert parse(b'{"op":"end","id":"a"}') == End(op="end", id="a")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (None, "longer than 1048576 bytes"),
        (b"\n", "not JSON"),
        (b"garbage\n", "not JSON"),
        (b'{"op":"ping"} {"op":"ping"}\n', "not JSON"),
        (b'{"op":"pi\xffng"}\n', "not JSON"),
        (b'{"op":"cancel","id":"\\ud800"}\n', "not JSON"),
        (b"[" * 200_000 + b"\n", "not JSON"),
        (b"[1]\n", "not a JSON object"),
        (b"{}\n", "no op"),
        (b'{"op":"dance"}\n', "Unknown op 'dance'"),
        (b'{"op":7}\n', "Unknown op"),
        (b'{"op":"ping","loud":true}\n', "Op 'ping', field 'loud'"),
        (b'{"op":"cancel"}\n', "Op 'cancel', field 'id': Field required"),
        (b'{"op":"cancel","id":"a b"}\n', "field 'id'"),
        (b'{"op":"transcribe","request":[]}\n', "field 'request'"),
        (b'{"op":"blob","sha256":"00","base64":""}\n', "field 'sha256'"),
        (b'{"op":"blob","sha256":"%s","base64":"A"}\n' % (b"0" * 64), "field 'base64'"),
        (b'{"op":"blob","sha256":"%s","base64":7}\n' % (b"0" * 64), "field 'base64': not text"),
        (b'{"op":"blob","sha256":"%s","base64":"","offset":-1}\n' % (b"0" * 64), "field 'offset'"),
        (b'{"op":"audio","id":"a","seq":0,"base64":"AAA="}\n', "Op 'audio', field 'seq'"),
        (b'{"op":"audio","id":"a","seq":1,"base64":"A"}\n', "field 'base64'"),
        (b'{"op":"audio","id":"a","base64":"AAA="}\n', "field 'seq': Field required"),
        (b'{"op":"end"}\n', "Op 'end', field 'id'"),
    ],
)
def test_refused(line: bytes | None, words: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse(line)
    assert words in refused.value.message
    assert refused.value.hint


def test_which_job_a_line_concerns() -> None:
    assert concerns(b'{"op":"cancel","id":"a"}') == "a"
    assert concerns(b'{"op":"transcribe","request":{"id":"b"}}') == "b"
    assert concerns(b'{"op":"audio","id":"c","seq":1,"base64":""}') == "c"
    assert concerns(b'{"op":"end","id":"d"}') == "d"
    assert concerns(b'{"op":"transcribe","request":{"id":"no id"}}') is None
    assert concerns(b'{"op":"transcribe","request":{"id":7}}') is None
    for wrong in (
        b'{"op":"audio","id":"e","seq":1,"base64":"A"}',
        b'{"op":"audio","id":"e","seq":0,"base64":"AAA="}',
        b'{"op":"noop","id":"e"}',
    ):
        assert concerns(wrong) == "e", "whatever else is wrong"
    for none in (None, b"", b"[]", b'"id"', b'{"op":"ping"}', b'{"op":"transcribe","request":"id"}', b"[" * 200_000):
        assert concerns(none) is None


def test_ready_is_json() -> None:
    loaded = Loaded(Identity("fake", "1", "m", None, "cpu", "none"), Capabilities(frozenset({"ru", "en"})), 1.0, 0.5)
    line = json.loads(json.dumps(messages.ready(loaded)))
    assert line["capabilities"]["languages"] == ["en", "ru"]
    assert (line["protocol"], line["backend"], line["load_s"], line["warm_s"]) == ("asrq.bridge/1", "fake", 1.0, 0.5)


def test_an_error_names_its_line_and_job() -> None:
    error = InvalidRequestError("No.")
    assert messages.refused(error, 3, None)["line"] == 3
    assert "id" not in messages.refused(error, 3, None)
    assert messages.refused(error, 3, "a")["id"] == "a"
    assert messages.fatal(error)["fatal"] is True
