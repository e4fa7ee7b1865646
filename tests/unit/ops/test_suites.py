"""Suites share what is in `tests/support`, and import nothing from each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
SUITES = {path.name for path in TESTS.iterdir() if path.is_dir()} - {"support", "qwen_checkpoint", "typing", "data"}


# Parsing all tests takes longer than a hundred of them.
IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+import\b|import\s+([\w., ]+))", re.MULTILINE)


def imported(path: Path) -> Iterator[str]:
    for module, names in IMPORT.findall(path.read_text(encoding="utf-8")):
        yield from [module] if module else (name.split()[0] for name in names.split(","))


def test_imports_are_found_however_they_are_written(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("import a, b.c as d\nif True:\n    from e.f import (\n        g,\n    )\n")
    assert [*imported(module)] == ["a", "b.c", "e.f"]


def test_no_suite_imports_another() -> None:
    modules = [path for suite in (*SUITES, "support") for path in (TESTS / suite).rglob("*.py")]
    assert len(modules) > 200
    arrows = {(path.relative_to(TESTS), name) for path in modules for name in imported(path)}
    wrong = {
        (str(path), name)
        for path, name in arrows
        if (suite := name.partition(".")[0]) in SUITES and suite != path.parts[0]
    }
    assert wrong == set()


def test_no_test_module_is_support_for_another() -> None:
    wrong = [
        (str(path.relative_to(TESTS)), name)
        for suite in SUITES
        for path in (TESTS / suite).rglob("*.py")
        for name in imported(path)
        if name.partition(".")[0] in SUITES and name.rpartition(".")[2].startswith("test_")
    ]
    assert wrong == []


def test_folders_of_tests_are_named_after_rooms() -> None:
    rooms = {path.name for path in (TESTS.parent / "worker" / "asrq_worker").iterdir() if path.is_dir()}
    rooms |= {"jobs", "testing", "ops", "clients", "protocol"}  # what is no room of the worker
    across = {"faults", "security"}  # of all rooms
    for suite in ("unit", "integration"):
        folders = {path.name for path in (TESTS / suite).iterdir() if any(path.rglob("test_*.py"))}
        assert folders - across <= rooms
