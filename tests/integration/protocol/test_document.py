"""What docs/reference/protocol.md states, held against the scripts, the error tree and the models."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from asrq_jobs.errors import all_errors
from asrq_jobs.events import TERMINAL, Event
from asrq_jobs.groups import GroupEvent, GroupState
from asrq_jobs.request import Request
from asrq_jobs.result import Result

REPO = Path(__file__).resolve().parents[3]
TEXT = (REPO / "docs" / "reference" / "protocol.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return TEXT.split(f"## {title}\n")[1].split("\n## ")[0]


def documented(part: str, row: str) -> list[str]:
    line = next(line for line in section(part).splitlines() if line.startswith(f"| {row} "))
    return [name.replace(" ", "") for name in re.findall(r"`([^`]+)`", line)]


@pytest.mark.parametrize(
    ("part", "script", "row"),
    [("Submitting", "submit", "KEYS 1 to 7"), ("Live audio", "append", "KEYS 1 to 4"),
     ("Cancelling", "cancel", "KEYS 1 to 10"),
     ("Retrying by hand", "retry", "KEYS 1 to 9")],
)  # fmt: skip
def test_keys_are_those_of_the_scripts(part: str, script: str, row: str) -> None:
    source = (REPO / "jobs" / "asrq_jobs" / "lua" / f"{script}.lua").read_text(encoding="utf-8")
    header = re.findall(r"^-- KEYS\[(\d+)\] +(\S+)", source, re.MULTILINE)
    assert [int(number) for number, _ in header] == list(range(1, len(header) + 1))
    assert documented(part, row)[: len(header)] == [name for _, name in header]


def test_every_error_code_is_named_once() -> None:
    named = re.findall(r"`([a-z_]+)`", section("Errors").split("| whose turn")[1].split("`usage`")[0])
    named.remove("retrying")  # the event, not a code
    of_other_doors = {
        "usage",
        "output_failed",
        "voice_unusable",
        "unauthorized",
        "quota_exceeded",
    }  # the command line and the gateway
    assert sorted(named) == sorted(cls.code for cls in all_errors() if cls.code not in of_other_doors)


def test_every_event_type_is_described() -> None:
    table = section("Following a job").split("|---|---|---|")[1]
    rows = re.findall(r"^\| `([a-z]+)` \|.*\|(.*)\|$", table, re.MULTILINE)
    assert {name for name, _ in rows} == set(Event.model_fields["type"].annotation.__args__)
    assert {name for name, meaning in rows if "**terminal**" in meaning} == TERMINAL


def test_every_request_field_is_described() -> None:
    table = section("Submitting").split("| field | default |")[1]
    first_column = " ".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))
    assert set(re.findall(r"`([a-z_]+)`", first_column)) == {
        field.alias or name for name, field in Request.model_fields.items()
    }


def test_the_examples_are_documents() -> None:
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)\n```", TEXT, re.DOTALL) if "\n{" not in text]
    request, live, result, error, progress, group = examples
    request["audio"]["sha256"] = "0" * 64
    assert Request.parse(json.loads(Request.parse(request).to_json())) == Request.parse(request)
    assert Request.parse(request | {"audio": live}).to_json()
    assert Result.model_validate(result).document() == result
    assert GroupEvent.model_validate(progress).model_dump() == progress
    assert GroupState.model_validate(group).model_dump(mode="json") == group
    assert set(error) == {"code", "message", "retryable", "stage", "hint"}


PAGES = sorted([*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, anchor
