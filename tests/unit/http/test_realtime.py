"""What is made of the events of a dictation's socket."""

from __future__ import annotations

import base64
import json

import pytest

from asrq_jobs.errors import InvalidRequestError, NotServedError
from asrq_worker.http import realtime
from asrq_worker.http.realtime import Append, Commit, LostError, SessionOptions, Update, parse


def test_events_are_read() -> None:
    sound = base64.b64encode(b"\0\1").decode()
    said = parse(json.dumps({"type": "input_audio_buffer.append", "audio": sound, "seq": 3, "event_id": "a", "new": 1}))
    assert isinstance(said, Append)
    assert (said.audio, said.seq, said.event_id) == (b"\0\1", 3, "a")
    assert parse('{"type":"input_audio_buffer.commit"}') == Commit(type="input_audio_buffer.commit")


def test_what_an_update_does_not_name_stays() -> None:
    def updated(session: dict[str, object], before: SessionOptions) -> SessionOptions:
        said = parse(json.dumps({"type": "session.update", "session": session}))
        assert isinstance(said, Update)
        return said.session.asked(before)

    first = updated({"audio": {"input": {"transcription": {"language": "ru", "keywords": ["asrq"]}}}}, SessionOptions())
    assert first == SessionOptions(language="ru", hotwords=("asrq",))
    second = updated({"audio": {"input": {"format": {"rate": 16_000}, "transcription": {"prompt": "x"}}}}, first)
    assert second == SessionOptions(rate=16_000, language="ru", hotwords=("asrq",), prompt="x")
    assert updated({"input_audio_transcription": {"language": None}}, second).options()["language"] == "auto"


@pytest.mark.parametrize("nested", [True, False])
def test_turns_are_asked_for_and_not_any_more(nested: bool) -> None:
    def updated(turns: dict[str, object] | None, before: SessionOptions) -> SessionOptions:
        session = {"audio": {"input": {"turn_detection": turns}}} if nested else {"turn_detection": turns}
        said = parse(json.dumps({"type": "session.update", "session": session}))
        assert isinstance(said, Update)
        return said.session.asked(before)

    first = updated({"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 500}, SessionOptions())
    assert first.turns
    told = realtime.session("session.updated", "job", first)["session"]["audio"]["input"]["turn_detection"]
    assert told == {"type": "server_vad", "silence_duration_ms": 2000}, "what is, not what was asked for"
    assert not updated(None, first).turns
    with pytest.raises(InvalidRequestError, match="server_vad"):
        updated({"type": "semantic_vad"}, first)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "not bytes"), ("", "not JSON"), ("{}{}", "not JSON"), ("7", "no JSON object"), ("[" * 200_000, "not JSON"),
     (" " * (realtime.LONGEST + 1), "more than"), ('{"type":"input_audio_buffer.append","audio":"é"}', "no base64"),
     ('{"type":"input_audio_buffer.append","audio":"AAA=","seq":0}', "'seq'")],
)  # fmt: skip
def test_what_cannot_be_passed_over(text: str | None, words: str) -> None:
    with pytest.raises(LostError) as lost:
        parse(text)
    assert words in lost.value.error.message


@pytest.mark.parametrize(
    ("text", "words"),
    [("{}", "no type"), ('{"type":"response.create"}', "no event of this type"),
     ('{"type":7}', "no event of this type"), ('{"type":"session.update"}', "'session': Field required"),
     ('{"type":"session.update","session":{"type":"realtime"}}', "session.type"),
     ('{"type":"session.update","session":{"input_audio_format":"g711_ulaw"}}', "input_audio_format")],
)  # fmt: skip
def test_what_is_only_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse(text)
    assert words in refused.value.message
    assert refused.value.hint


def test_events_are_told() -> None:
    told = realtime.session("session.created", "job", SessionOptions(model="m", hotwords=("asrq",)), last=2)
    assert (told["type"], told["session"]["id"], told["session"]["last"]) == ("session.created", "job", 2)
    assert told["session"]["audio"]["input"]["transcription"] == {"model": "m", "keywords": ["asrq"]}
    error = realtime.wrong(NotServedError("No."), "mine")["error"]
    assert (error["code"], error["message"], error["event_id"]) == ("not_served", "No.", "mine")
    assert realtime.failed("job", NotServedError("No."))["item_id"] == "job"
    assert realtime.cleared()["event_id"] != realtime.cleared()["event_id"]
