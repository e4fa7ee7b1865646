"""What RQ keeps of a job, read and written; and that nothing else of ours knows how."""

from __future__ import annotations

import ast
import base64
import json
import re
import zlib
from functools import cache
from pathlib import Path

import pytest
from conftest import REPO

from asrq_jobs import keys, rq, scripts
from asrq_jobs.errors import CanceledError, EngineCrashedError
from asrq_jobs.result import Result
from asrq_jobs.timestamp import iso

SOURCES = sorted(path for room in ("jobs/asrq_jobs", "worker/asrq_worker") for path in (REPO / room).rglob("*.py"))
LUA = REPO / "jobs/asrq_jobs/lua"
OF_CLIENTS = scripts._FLAGS.keys()
FIELDS = {"enqueued_at", "last_heartbeat", "attempts_before", "return_value", "exc_string", "success_callback_name"}
"""Names of fields that RQ or our part of its hashes has, and nothing else."""


@cache
def texts(path: Path) -> set[str]:
    """The texts and bytes in a module, without those that document something."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in documents]
    return {
        value if isinstance(value, str) else value.decode(errors="replace")
        for value in found
        if isinstance(value, str | bytes)
    }


def test_one_module_names_keys_and_one_what_rq_holds_under_its_own() -> None:
    assert {path.stem for path in SOURCES if any(text.startswith("rq:") for text in texts(path))} == {"keys"}
    assert {path.stem for path in SOURCES if FIELDS & texts(path)} == {"rq"}


def test_of_the_scripts_of_workers_only_their_beginning_knows_keys_and_fields() -> None:
    plain = {path.stem: path.read_text(encoding="utf-8") for path in LUA.glob("*.lua") if path.stem not in OF_CLIENTS}
    code = {name: re.sub(r"--.*", "", text) for name, text in plain.items()}
    known = re.compile(r"'(rq|asrq):|'(status|worker_name|waits_for|" + "|".join(FIELDS) + ")'")
    assert {name for name, text in code.items() if known.search(text)} == {"prelude"}
    assert {name for name, text in code.items() if re.search(r"\bKEYS\b|\bARGV\b", text)} == {"prelude"}


def test_a_hash_is_read_whatever_stands_in_it() -> None:
    job = rq.JobHash.read({
        b"status": b"started", b"origin": b"asrq-batch", b"worker_name": b"\xff", b"data": b"\xff", b"ended_at": b"",
        b"created_at": b"then", b"attempts_before": b"2", b"waits_for": b"qwen", b"other": b"\xff",
    })  # fmt: skip
    assert (job.status, job.lane, job.worker, job.data) == ("started", "batch", "\N{REPLACEMENT CHARACTER}", b"\xff")
    assert (job.created_at, job.ended_at, job.attempts_before, job.waits_for) == ("then", None, 2, "qwen")
    nothing = rq.JobHash.read({})
    assert (nothing.status, nothing.lane, nothing.data, nothing.attempts_before) == (None, "", b"", 0)


@pytest.mark.parametrize("before", ["", "-1", "x", "1.5", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT TWO}"])
def test_attempts_before_that_are_no_number_are_none(before: str) -> None:
    assert rq.JobHash.read({b"attempts_before": before.encode()}).attempts_before == 0


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ('["f",null,[{"id":"a","metadata":{"order":"4711"},"tags":["night"]}],{}]', ({"order": "4711"}, ("night",))),
        ('["f",null,[{"id":"a"}],{}]', ({}, ())),
        ('["f",null,[{"tags":"night"}],{}]', ({}, ())),
        ('["f",null,[],{}]', ({}, ())),
        ('["f",null,7,{}]', ({}, ())),
        ("7", ({}, ())),
        ("\xff", ({}, ())),
        ("[" * 100_000, ({}, ())),
    ],
)
def test_labels_are_read_whatever_stands_there(data: str, found: tuple[dict[str, str], tuple[str, ...]]) -> None:
    labels = rq.JobHash.read({b"data": data.encode("latin-1")}).labels
    assert (labels.metadata, labels.tags) == found


def test_a_job_that_was_refused_is_one_that_failed() -> None:
    fields = rq.refused_job("batch", "x", kept=b"\xff", group=None, at=1.0)
    assert fields.pop("refused") == b"\xff"
    job = rq.JobHash.read({str(name).encode(): str(value).encode() for name, value in fields.items()})
    assert (job.status, job.lane, job.description, job.ended_at) == ("failed", "batch", "refused: x", iso(1.0))
    assert json.loads(job.data) == [keys.FUNCTION, None, [{"refused": "x"}], {}]


def test_what_rq_shows_of_a_result() -> None:
    completed = rq.result_entry(Result(id="job", status="completed", language="ru"), "worker", "execution")
    assert completed is not None
    shown = dict(zip(completed[::2], completed[1::2], strict=True))
    assert (shown["type"], shown["worker_name"], shown["execution_id"]) == ("1", "worker", "execution")
    pointer = json.loads(base64.b64decode(shown["return_value"]))
    assert (pointer["result"], pointer["language"]) == ("asrq:result:job", "ru")

    failed = rq.result_entry(Result.from_error(EngineCrashedError("Gone.").info(), "job"))
    assert failed is not None
    assert failed[:3] == ["type", "2", "exc_string"]
    assert zlib.decompress(base64.b64decode(failed[3])) == b"engine_crashed: Gone."

    assert rq.result_entry(None) is None
    assert rq.result_entry(Result.from_error(CanceledError("Canceled.").info(), "job")) is None
