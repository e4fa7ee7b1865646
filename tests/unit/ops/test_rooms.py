"""The page on the architecture names every room of the worker, in the order that the import contract enforces."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
WORKER = REPO / "worker" / "asrq_worker"


def floors() -> list[set[str]]:
    contracts = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (contract for contract in contracts if contract.get("containers") == ["asrq_worker"])
    assert layers["exhaustive"]
    return [set(layer.split(" | ")) for layer in layers["layers"]]


def test_the_page_names_the_rooms_by_floor() -> None:
    page = (REPO / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    named: list[set[str]] = []
    for floor, room in re.findall(r"^\| (\d*) ?\| `(\w+)/` \|", page, re.MULTILINE):
        if floor:
            assert int(floor) == len(named) + 1
            named.append(set())
        named[-1].add(room)
    assert named == [floor - {"task"} for floor in floors()]


def test_what_a_room_is_said_to_hold_is_there() -> None:
    page = (REPO / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    for room, holds in re.findall(r"^\| \d* ?\| `(\w+)/` \| (.+) \|$", page, re.MULTILINE):
        for name in re.findall(r"`(\w+)/?`", holds):
            assert (WORKER / room / name).is_dir() or (WORKER / room / f"{name}.py").is_file(), f"{room}/{name}"


def test_only_the_function_that_jobs_name_is_outside() -> None:
    assert [path.stem for path in WORKER.glob("*.py") if path.stem != "__init__"] == ["task"]
