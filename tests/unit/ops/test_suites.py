"""Suites share what is in `tests/support`, and import nothing from each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
SUITES = {path.name for path in TESTS.iterdir() if path.is_dir()} - {"support", "qwen_checkpoint", "typing", "data"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


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
