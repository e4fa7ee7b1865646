"""docs/reference/modules.md: every module of both packages, with the first sentence of its docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
_PACKAGES = ("jobs/asrq_jobs", "worker/asrq_worker")
_INTRODUCTION = """\
Where to look for what. How the rooms of `asrq_worker` depend on each other is on [the page about the
architecture](../explanation/architecture.md#which-module-does-what).
"""


def page() -> Iterator[str]:
    """Yield the page, a line or paragraph at a time, without its first comment.

    Raises:
        ValueError: a module has no docstring.
    """
    yield "# Modules\n"
    yield _INTRODUCTION
    modules = sorted(path for package in _PACKAGES for path in (REPO / package).rglob("*.py") if path.stem[0] != "_")
    for folder, within in groupby(sorted(modules, key=lambda path: (path.parent, path.name)), lambda path: path.parent):
        yield f"## `{folder.relative_to(REPO).as_posix()}/`\n"
        if purpose := _purpose(folder / "__init__.py"):
            yield f"{purpose}\n"
        yield "| module | |"
        yield "|---|---|"
        for path in within:
            yield f"| `{path.stem}` | {_purpose(path)} |"
        yield ""


def _purpose(path: Path) -> str:
    described = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    if not described and path.stem != "__init__":
        raise ValueError(f"{path} does not say what it is for.")
    return " ".join(described.partition("\n\n")[0].split()).replace("|", "\\|")
