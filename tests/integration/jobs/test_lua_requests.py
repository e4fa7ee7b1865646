"""What submit.lua takes, the model takes, and the other way round: as far as the script looks at a request."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from redis import Redis

from asrq_jobs import keys, scripts
from asrq_jobs.errors import RequestError
from asrq_jobs.request import Request

SHA256 = "ab" * 32
FIELDS = {field.alias or name for name, field in Request.model_fields.items()}
LANE = "batch"
PLAIN: dict[str, Any] = {"schema": "asrq.request/1", "id": "job", "audio": {"kind": "path", "path": "/a.wav"}}


class Door:
    """Submits request documents, each to an empty lane."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.refusal = ""

    def takes(self, text: bytes, sha256: object = SHA256) -> bool:
        """Whether submit.lua accepts a document; nothing stays of it."""
        named = [keys.job("job"), keys.queue(LANE), keys.RQ_QUEUES, keys.events("job"), keys.result("job"), keys.LIMITS,
                 keys.blob(str(sha256))]  # fmt: skip
        self.redis.set(named[-1], b"audio")
        answer = json.loads(scripts.load(self.redis, "submit")(named, ["job", LANE, text]))
        held = self.redis.hget(keys.job("job"), "data")
        self.redis.flushdb()
        if "error" not in answer:
            assert held == b'["asrq_worker.task.transcribe",null,[' + text + b"],{}]"
            return True
        self.refusal = answer["error"]["message"]
        assert answer["error"]["code"] == "invalid_request", answer
        assert held is None
        return False


@pytest.fixture
def door(redis: Redis) -> Iterator[Door]:
    return Door(redis)


def model_takes(text: bytes, *, of_unknown_fields: bool = False) -> bool:
    """Whether the worker does, which reads what the script has stored; the script knows no unknown fields."""
    try:
        document = json.loads(text.decode())
        if of_unknown_fields and isinstance(document, dict):
            json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair is no text, wherever it is
            document = {name: value for name, value in document.items() if name in FIELDS}
        request = Request.parse(document)
    except (ValueError, RecursionError, RequestError):
        return False
    return (request.id, request.lane) == ("job", LANE)


def written(**change: Any) -> bytes:
    return json.dumps({name: value for name, value in (PLAIN | change).items() if value is not ...}).encode()


NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 0.5, 1.0, 86_400, 86_400.0, 86_400.5, 86_401, 2_592_000, 2_592_001, 1e400, -1e400]),
    st.sampled_from([float("nan"), 10**400, -(10**400), 1 << 62, 1e15, 1e16, True, False, None, "1", "", [], {}, [1]]),
    st.integers(-10, 3_000_000),
    st.floats(0, 3_000_000),
)
WORDS = st.one_of(st.text(max_size=70), st.sampled_from([None, True, 7, [], {}, ["a"], "a" * 300]))
DIGESTS = st.sampled_from(
    [SHA256, SHA256.upper(), SHA256[1:], SHA256 + "0", "", "../policy", None, 7, [], SHA256[:-1] + "\n"]
)
NAMES = st.one_of(WORDS, st.sampled_from(["я" * 255, "я" * 256, "😀" * 255, "😀" * 256, "a" * 255, "a" * 256]))
PLACES = st.one_of(WORDS, st.sampled_from(["", "/" + 4095 * "я", "/" + 4096 * "я", "x" * 4096, "x" * 4097]))
BLOBS = st.fixed_dictionaries(
    {"kind": st.just("blob"), "sha256": DIGESTS, "bytes": st.just(1)}, optional={"name": NAMES}
)
AUDIO = st.one_of(
    BLOBS,
    st.fixed_dictionaries({"kind": st.just("path")}, optional={"path": PLACES}),
    st.fixed_dictionaries({"kind": st.just("url")}, optional={"url": PLACES}),
    st.sampled_from([..., None, [], {}, 7, "talk.mp3", {"kind": None}, {"kind": "file", "path": "/a"}, {"path": "/a"}]),
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "schema": st.sampled_from([..., "asrq.request/1", "asrq.request/2", None, 1, [], ""]),
        "id": st.sampled_from([..., "job", "jobs", None, 7, [], ""]),
        "lane": st.sampled_from([..., "batch", "interactive", "", None, False, True, 7, []]),
        "audio": AUDIO,
        "task": st.sampled_from([..., "transcribe", "translate", "Translate", "", None, False, 7, [], {}]),
        "language": st.sampled_from([..., "auto", "ru", "Russian", "x" * 65, "", None, False, 7, [], {}]),
        "timeout_s": NUMBERS,
        "queue_ttl_s": NUMBERS,
        "retries": st.just(1),
    },
)
SLOW = effort(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(change=CHANGES)
def test_a_field_is_taken_by_both_or_by_none(door: Door, change: dict[str, Any]) -> None:
    text = written(**change)
    audio = change.get("audio")
    digest = audio.get("sha256", SHA256) if isinstance(audio, dict) else SHA256
    assert door.takes(text, digest) == model_takes(text), text


BLOB = {"kind": "blob", "sha256": SHA256, "bytes": 1}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"schema": ...}, "schema"),
        ({"lane": False}, "lane"),
        ({"audio": BLOB | {"sha256": "no digest " + "0" * 54}}, "audio.sha256"),
        ({"audio": BLOB | {"sha256": "0" * 63}}, "audio.sha256"),
        ({"audio": BLOB | {"sha256": 7}}, "audio.sha256"),
        ({"audio": BLOB | {"name": "я" * 256}}, "audio.name"),
        ({"audio": BLOB | {"name": "x" * 1021}}, "audio.name"),
        ({"audio": BLOB | {"name": ["a"]}}, "audio.name"),
        ({"audio": {"kind": "path"}}, "audio.path"),
        ({"audio": {"kind": "path", "path": ""}}, "audio.path"),
        ({"audio": {"kind": "url", "url": "x" * 4097}}, "audio.url"),
        ({"task": False}, "task"),
        ({"language": None}, "language"),
        ({"language": "x" * 65}, "language"),
        ({"timeout_s": 1e400}, "timeout_s"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": 1.5}, "timeout_s"),
        ({"timeout_s": "90"}, "timeout_s"),
        ({"queue_ttl_s": 2_592_001}, "queue_ttl_s"),
        ({"queue_ttl_s": -1}, "queue_ttl_s"),
        ({"queue_ttl_s": True}, "queue_ttl_s"),
        ({"group": "night"}, "group.id"),
        ({"group": {"id": 7, "size": 1}}, "group.id"),
        ({"group": {"id": "x" * 65, "size": 1}}, "group.id"),
        ({"group": {"id": "a:b", "size": 1}}, "group.id"),
        ({"group": {"id": "night"}}, "group.size"),
        ({"group": {"id": "night", "size": 100_001}}, "group.size"),
        ({"group": {"id": "night", "size": 1, "webhook": 7}}, "group.webhook"),
        ({"group": {"id": "night", "size": 1, "webhook": "ftp://host/"}}, "group.webhook"),
    ],
)
def test_what_is_refused_is_named(door: Door, change: dict[str, Any], named: str) -> None:
    text = written(**change).replace(b"Infinity", b"1e400")
    assert not door.takes(text, (change.get("audio") or {}).get("sha256", SHA256))
    assert not model_takes(text)
    assert named in door.refusal


@pytest.mark.parametrize(
    "change",
    [
        {"audio": BLOB | {"name": "😀" * 255}},
        {"audio": BLOB | {"name": None}},
        {"audio": {"kind": "path", "path": "я" * 4096}},
        {"language": ""},
        {"timeout_s": 86_400, "queue_ttl_s": 2_592_000},
        {"timeout_s": None, "queue_ttl_s": None},
        {"group": None},
        {"group": {"id": "x" * 64, "size": 100_000, "webhook": "http://" + "я" * 2041}},
    ],
)
def test_what_just_fits_is_taken(door: Door, change: dict[str, Any]) -> None:
    assert door.takes(written(**change))
    assert model_takes(written(**change))


@pytest.mark.parametrize("code", [*range(32), 127])
def test_control_characters_are_written_as_escapes(door: Door, code: int) -> None:
    raw = written(prompt="a@b").replace(b"@", bytes([code]))
    assert door.takes(raw) == model_takes(raw) == (code == 127)
    between = written().replace(b", ", b"," + bytes([code]))
    assert door.takes(between) == model_takes(between) == (code in b"\t\n\r")
    assert door.takes(written(prompt=chr(code)))


# Things that JSON does not have and some readers of it take, and such as are cut, doubled or changed by a byte.
TOKENS = st.sampled_from([
    b"NaN", b"nan", b"Infinity", b"-Infinity", b"inf", b"0x10", b"012", b"1.", b".5", b"-.5", b"1.e5", b"+1", b"1e400",
    b"- 1", b"00", b"-0", b"1e", b"True", b"None", b"'a'", b"", b"90", b"9e1", b"90.0", b"90.00", b"1.5e2", b"1_0",
    b"/**/1",
])  # fmt: skip
BYTES = st.sampled_from([
    b"\0", b"\1", b"\t", b"\n", b"\r", b"\x1f", b" ", b"\x7f", b'"', b"\\", b"{", b"}", b"[", b",", b"\xff",
    b"\xc3\xa9", b"\xe2\x80\x94", b"\xf0\x9f\x98\x80", b"\xef\xbb\xbf", b"\xc2\x85", b"\xef\xbf\xbf", b"\xed\x9f\xbf",
    b"\xee\x80\x80", b"\xf3\xbf\xbf\xbf", b"\xf4\x8f\xbf\xbf", b"\x80", b"\xc0\xaf", b"\xe0\x80\x80", b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xc3", b"\xe1\x80", b"\xf1\x80\x80", b"\\n", b"\\u0000", b"\\ud800",
    b"\\ud83d\\ude00", b"\\x41", b"\\\n",
])  # fmt: skip


NINETY = (b"90", b"9e1", b"90.0", b"90.00")


@SLOW
@given(token=TOKENS)
def test_a_number_is_one_to_both_or_to_none(door: Door, token: bytes) -> None:
    text = written()[:-1] + b',"timeout_s":' + token + b"}"
    assert door.takes(text) == model_takes(text) == (token in {*NINETY, b"1.5e2"}), text


@SLOW
@given(token=TOKENS)
def test_what_is_no_number_is_none_in_a_field_that_the_script_does_not_look_at(door: Door, token: bytes) -> None:
    text = written()[:-1] + b',"invented":' + token + b"}"
    if door.takes(text):
        json.loads(text, parse_constant=int)  # which refuses NaN and its like


@SLOW
@given(extra=BYTES, at=st.integers(0, 200), pretty=st.booleans())
def test_a_text_is_json_to_both_or_to_none(door: Door, extra: bytes, at: int, pretty: bool) -> None:
    document = PLAIN | {"audio": {"kind": "path", "path": "/Речь 1.wav"}, "prompt": 'v1. “—” 会议 ½ 😀 \n\\ "a".'}
    text = json.dumps(document, ensure_ascii=False, indent="\t" if pretty else None).encode()
    text = text[:at] + extra + text[at:]
    assert door.takes(text) == model_takes(text, of_unknown_fields=True), text


@pytest.mark.parametrize("deep", ["[" * 20 + "]" * 20, '{"a":' * 20 + "1" + "}" * 20, "[" * 990 + "]" * 990])
def test_what_is_nested_so_deep_that_readers_stop_is_refused(door: Door, deep: str) -> None:
    assert not door.takes(written()[:-1] + b',"prompt":' + deep.encode() + b"}")


def test_of_fields_that_are_there_twice_both_take_the_last(door: Door, redis: Redis) -> None:
    text = written()[:-1] + b',"task":"none","task":"translate"}'
    assert door.takes(text)
    assert model_takes(text)
    assert Request.parse(json.loads(text)).task == "translate"
    refused = written()[:-1] + b',"task":"translate","task":"none"}'
    assert not door.takes(refused)
    assert not model_takes(refused)


def test_no_script_puts_its_own_reading_of_json_upon_others(door: Door, redis: Redis) -> None:
    door.takes(written())
    assert redis.eval("return type(cjson.decode('[NaN]'))", 0) == b"table"


SCRIPTS = {
    "Cyrillic": "Совещание по дорожной карте — «Яндекс», ёлка… ",
    "Chinese": "会议记录：语音转文字，下一步计划。",
    "emoji": "😀🎙️ ok ",
    "every form": "aé語😀\ud7ff\ue000\uffff𐀀\U000f0000\U00100000 ",
    "French": "Déjà vu à Besançon : la réunion commence à neuf heures. ",
}


def least_times(door: Door, texts: dict[str, bytes]) -> dict[str, float]:
    """The least time, in seconds, that each of some documents took: they take turns, on a machine with other work."""
    took: dict[str, list[float]] = {name: [] for name in texts}
    for _ in range(7):
        for name, text in texts.items():
            began = time.perf_counter()
            assert door.takes(text)
            took[name].append(time.perf_counter() - began)
    return {name: min(times) for name, times in took.items()}


@pytest.mark.parametrize("language", SCRIPTS)
def test_no_alphabet_stops_redis_for_much_longer_than_another(door: Door, language: str) -> None:
    size = 240_000
    other = SCRIPTS[language]
    texts = {
        "ASCII": written(prompt="a plain text of words, and so on. " * (size // 34)),
        "other": json.dumps(PLAIN | {"prompt": other * (size // len(other.encode()))}, ensure_ascii=False).encode(),
    }
    assert all(size * 0.9 < len(text) < 262_144 for text in texts.values())
    took = least_times(door, texts)
    assert took["other"] < 5 * took["ASCII"]


@pytest.mark.parametrize(
    "place", ["x" * 4095 + "/", "x" * 4095 + "@", "/" * 4096, "/@" * 2048, "x/" * 2048, "@/x" * 1365]
)
@pytest.mark.parametrize("kind", ["path", "url"])
def test_no_name_stops_redis_for_much_longer_than_another(door: Door, kind: str, place: str) -> None:
    texts = {"plain": "/" + "x" * 4095, "other": place}
    took = least_times(door, {name: written(audio={"kind": kind, kind: text}) for name, text in texts.items()})
    assert took["other"] < 5 * took["plain"]
