"""Lines of the log, whatever their fields hold."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Literal

import pytest

from asrq_jobs.settings import Settings
from asrq_worker.telemetry import logs
from asrq_worker.telemetry.logs import Log

EVIL = "a\nat=1 level=error event=forged\r\x1b[31m\x9b31m\u202e\u2028\u200b\udcff"

Written = Callable[[Literal["json", "console"]], io.StringIO]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Configures logs in a form, and gives what they are written to."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def configure(form: Literal["json", "console"]) -> io.StringIO:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure(Settings(log_format=form))
        return stream

    yield configure
    root.handlers[:], root.level = before


def test_a_name_forges_no_line_and_commands_no_terminal(written: Written) -> None:
    stream = written("console")
    Log("asrq.test").warning("job.odd", id=EVIL, lane="batch", reason='two "words"', code=None, empty="")
    logging.getLogger("library").warning("cannot read %s", EVIL)
    ours, theirs = stream.getvalue().splitlines()
    assert "\x1b" not in ours + theirs
    assert (ours + theirs).isascii()
    assert ours.split(" ", 1)[1] == (
        "warning "
        'job.odd id="a\\nat=1 level=error event=forged\\r\\u001b[31m\\u009b31m\\u202e\\u2028\\u200b\\udcff" '
        'lane=batch reason="two \\"words\\"" code=None empty=""'
    )
    assert "cannot read a\\nat=1" in theirs


def test_json_lines_are_exact_and_as_harmless(written: Written) -> None:
    stream = written("json")
    Log("asrq.test").warning("job.odd", id=EVIL, count=3)
    (line,) = stream.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["id"] == EVIL
    assert json.loads(line)["count"] == 3


def test_a_traceback_cannot_be_taken_for_lines_of_the_log(written: Written) -> None:
    stream = written("console")
    try:
        raise ValueError(EVIL)
    except ValueError as error:
        Log("asrq.test").error("job.defect", error=error, id="x")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("job.defect id=x")
    assert rest
    assert all(line.startswith("    ") for line in rest)
    assert "forged" not in "".join(rest)


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_address_is_logged_with_its_login(written: Written, form: Literal["json", "console"]) -> None:
    stream = written(form)
    Log("asrq.test").warning("fetch.failed", reason="403 for https://key:geheim@host/a?token=geheim")
    logging.getLogger("library").warning("retrying %s", "redis://:ge/heim@host:6379/0")
    assert "heim" not in stream.getvalue()
    assert "https://***@host/a?***" in stream.getvalue()
